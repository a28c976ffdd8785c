// What the model and the reward model say: how far the one has moved, how far the other's members
// disagree.

#include <cmath>

#include "data/base/format.hpp"
#include "finetune/guard/signal.hpp"

namespace guard {
namespace {

constexpr double kFlat = 0.1;        // deviations: neither up nor down
constexpr double kDisagreement = 2;  // of the start's variance among members

Finding judge_kl(const Evidence& evidence) {
  Finding finding;
  const double kl = evidence.now.kl_nats, budget = evidence.options.kl_budget;
  if (!std::isfinite(kl)) return finding;
  finding.figures.emplace_back("kl", kl);
  if (!evidence.flags.kl_over) return finding;
  const auto flat = [](const PairedChange& change) { return !(std::abs(change.mean) > kFlat); };
  finding.state = evidence.before.kl_over ? State::kStop : State::kWarn;
  finding.kind = flat(evidence.trained) && flat(evidence.held_out) ? "drift" : "far from the start";
  finding.words = data::formatted("a KL of %.4g nats is above the budget of %.4g%s", kl, budget,
                                  evidence.before.kl_over ? " for the second time" : "");
  return finding;
}

Finding judge_members(const Evidence& evidence) {
  const double ratio = evidence.now.disagreement / evidence.start.disagreement;
  Finding finding;
  if (!std::isfinite(ratio)) return finding;
  finding.figures.emplace_back("members", ratio);
  if (ratio < kDisagreement) return finding;
  finding.state = State::kWarn;
  finding.kind = "beyond the reward's knowledge";
  finding.words = data::formatted(
      "the members of the trained reward disagree %.1f times as much as at the start", ratio);
  return finding;
}

}  // namespace

const Signal kKlSignal{"KL", judge_kl};
const Signal kMembersSignal{"member disagreement", judge_members};

}  // namespace guard
