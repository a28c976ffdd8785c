// What the rewards say: the paired test since the start, and the leading signal of the training
// images.

#include <algorithm>
#include <cmath>

#include "data/base/format.hpp"
#include "finetune/guard/signal.hpp"

namespace guard {
namespace {

constexpr double kNoticed = 0.5;       // of the tolerance: a proven fall above it is a warning
constexpr int64_t kFewestPrompts = 8;  // below it a large fall that is not proven stops nothing

// Held-out rewards that fell by more than twice the tolerance.
int64_t far_down(const Evidence& evidence) {
  const auto& changes = evidence.held_out.by_reward;
  return std::count_if(changes.begin(), changes.end(),
                       [&](double one) { return one < -2 * evidence.options.tolerance; });
}

// "moved by -0.40 deviations (standard error 0.05, 16 prompts, a proven fall)"
std::string moved(const PairedChange& change) {
  std::string words = data::formatted("moved by %+.2f deviations", change.mean);
  if (std::isfinite(change.error))
    words += data::formatted(" (standard error %.2f, %.0f prompts%s)", change.error,
                             static_cast<double>(change.prompts),
                             change.bound < 0 ? ", a proven fall" : "");
  return words;
}

// Stop: a proven fall beyond the tolerance, or one that a test alone proves for the second time in
// a row; warn: one that is not proven, or a proven one of more than half of it.
State state_of_fall(const PairedChange& change, double tolerance, bool twice_down) {
  const bool proven = change.bound < 0, beyond = change.mean < -tolerance;
  if ((proven && beyond) || twice_down) return State::kStop;
  return beyond || (proven && change.mean < -kNoticed * tolerance) ? State::kWarn : State::kFine;
}

// A finding of `state` on a fall, after its words.
void conclude(const Evidence& evidence,
              const PairedChange& change,
              State state,
              bool twice_down,
              Finding& finding) {
  const double tolerance = evidence.options.tolerance;
  finding.state = state;
  finding.kind = evidence.trained.mean > 0 ? "gamed" : "collapsed";
  if (twice_down) finding.words += ", beyond the tolerance for the second time in a row";
  if (evidence.trained.prompts > 0)
    finding.words += data::formatted(", the trained ones by %+.2f", evidence.trained.mean);
  if (change.bound < 0 && change.mean >= -tolerance)
    finding.words += data::formatted("; that is within the tolerance of %.2f", tolerance);
}

Finding judge_held_out(const Evidence& evidence) {
  const PairedChange& change = evidence.held_out;
  Finding finding;
  if (std::isfinite(evidence.trained.mean))
    finding.figures.emplace_back("trained", evidence.trained.mean);
  if (change.prompts == 0) return finding;
  finding.figures.emplace_back("fall", -change.mean);
  finding.figures.emplace_back("se", change.error);
  finding.figures.emplace_back("bound", change.bound);
  for (size_t h = 0; h < change.by_reward.size(); ++h)
    finding.figures.emplace_back("held_out/" + evidence.options.held_out[h], change.by_reward[h]);
  const double tolerance = evidence.options.tolerance;
  const bool large = change.prompts >= kFewestPrompts &&
                     2 * far_down(evidence) > static_cast<int64_t>(change.by_reward.size());
  const bool twice_down = evidence.before.held_out_down && evidence.flags.held_out_down;
  const State state = large ? State::kStop : state_of_fall(change, tolerance, twice_down);
  if (state == State::kFine) return finding;
  finding.words = "the held-out rewards " + moved(change);
  if (large)
    finding.words += data::formatted(", %.0f of %.0f of them by less than %.2f",
                                     static_cast<double>(far_down(evidence)),
                                     static_cast<double>(change.by_reward.size()), -2 * tolerance);
  conclude(evidence, change, state, twice_down, finding);
  return finding;
}

Finding judge_following(const Evidence& evidence) {
  const PairedChange& change = evidence.following;
  Finding finding;
  if (change.prompts == 0) return finding;
  finding.figures.emplace_back("following", change.mean);
  const bool twice_down = evidence.before.following_down && evidence.flags.following_down;
  const State state = state_of_fall(change, evidence.options.tolerance, twice_down);
  if (state == State::kFine) return finding;
  finding.words = "the held-out rewards that read the prompt " + moved(change);
  conclude(evidence, change, state, twice_down, finding);
  return finding;
}

Finding judge_leading(const Evidence& evidence) {
  Finding finding;
  for (size_t h = 0; h < evidence.leading.size(); ++h)
    finding.figures.emplace_back("cov/" + evidence.options.held_out[h], evidence.leading[h].value);
  if (!most_fall(evidence.leading)) return finding;
  const bool falls = evidence.held_out.mean < 0;
  finding.state = falls && evidence.may_brake ? State::kBrake : State::kWarn;
  finding.kind = "about to be gamed";
  std::string names;
  for (size_t h = 0; h < evidence.leading.size(); ++h) {
    if (!evidence.leading[h].falls()) continue;
    names += (names.empty() ? "" : ", ") + evidence.options.held_out[h] +
             data::formatted(" (%.2f)", evidence.leading[h].value);
  }
  finding.words =
      "on the training images the trained reward rises where held-out rewards fall, by their "
      "correlation within prompts: " +
      names;
  return finding;
}

}  // namespace

bool most_fall(const std::vector<PooledCorrelation>& leading) {
  const auto falls = std::count_if(leading.begin(), leading.end(),
                                   [](const PooledCorrelation& one) { return one.falls(); });
  return 2 * falls > static_cast<int64_t>(leading.size());
}

const Signal kHeldOutSignal{"held-out rewards", judge_held_out};
const Signal kFollowingSignal{"prompts", judge_following};
const Signal kLeadingSignal{"leading signal", judge_leading};

}  // namespace guard
