#include "finetune/guard/guard.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "data/base/format.hpp"

namespace guard {
namespace {

constexpr size_t kEpochsOfLeading = 3;
constexpr size_t kWorstImages = 8;

// Each held-out reward's correlation with what is trained, over the last epochs; empty before there
// are enough. An epoch's share of alpha is that of one of the run's stretches.
std::vector<PooledCorrelation> leading_of(const GuardState& state, const GuardOptions& options) {
  if (state.epochs.size() < kEpochsOfLeading) return {};
  const double stretches =
      std::ceil(static_cast<double>(options.epochs) / static_cast<double>(kEpochsOfLeading));
  std::vector<PooledCorrelation> leading;
  for (size_t h = 0; h < options.held_out.size(); ++h) {
    std::vector<PromptMoments> prompts;
    for (const auto& epoch : state.epochs)
      prompts.insert(prompts.end(), epoch[h].begin(), epoch[h].end());
    leading.push_back(pooled_correlation(prompts, options.alpha / std::max(1.0, stretches)));
  }
  return leading;
}

// The images whose held-out rewards fell most, or without such rewards the trained ones.
std::vector<std::pair<int64_t, double>> worst_images(const PairedChange& trained,
                                                     const PairedChange& held_out) {
  const PairedChange& change = held_out.prompts > 0 ? held_out : trained;
  std::vector<std::pair<int64_t, double>> images;
  for (size_t i = 0; i < change.by_image.size(); ++i) {
    if (change.by_image[i] < 0) images.emplace_back(static_cast<int64_t>(i), change.by_image[i]);
  }
  std::stable_sort(images.begin(), images.end(),
                   [](const auto& a, const auto& b) { return a.second < b.second; });
  images.resize(std::min(images.size(), kWorstImages));
  return images;
}

std::string fine_words(const PairedChange& trained, const PairedChange& held_out) {
  std::string words = "nothing was flagged";
  if (trained.prompts > 0)
    words += data::formatted("; trained rewards %+.2f deviations", trained.mean);
  if (held_out.prompts == 0) return words + ", without a held-out reward";
  words += data::formatted(", held-out %+.2f", held_out.mean);
  if (std::isfinite(held_out.error))
    words += data::formatted(" (standard error %.2f, %.0f prompts)", held_out.error,
                             static_cast<double>(held_out.prompts));
  return words;
}

void add_findings(const Evidence& evidence, Verdict& verdict) {
  std::vector<std::pair<State, std::string>> reasons;
  for (const Signal& signal : signals()) {
    const Finding finding = signal.judge(evidence);
    verdict.signals.emplace_back(signal.name, finding.state);
    for (const auto& [name, value] : finding.figures)
      verdict.figures.emplace_back("guard/" + name, value);
    if (finding.state > verdict.state) verdict.kind = finding.kind;
    verdict.state = std::max(verdict.state, finding.state);
    if (finding.state > State::kFine) reasons.emplace_back(finding.state, finding.words);
  }
  std::stable_sort(reasons.begin(), reasons.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  for (const auto& [state, words] : reasons)
    verdict.reason += (verdict.reason.empty() ? "" : "; ") + words;
}

}  // namespace

bool observe_epoch(GuardState& state,
                   const GuardOptions& options,
                   const at::Tensor& combined,
                   const at::Tensor& held_out,
                   const std::vector<int64_t>& prompt_ids) {
  std::vector<std::vector<PromptMoments>> epoch;
  for (int64_t h = 0; h < held_out.size(1); ++h)
    epoch.push_back(within_prompt_moments(combined, held_out.select(1, h), prompt_ids));
  if (epoch.empty()) return false;
  state.epochs.push_back(std::move(epoch));
  if (state.epochs.size() > kEpochsOfLeading) state.epochs.erase(state.epochs.begin());
  if (state.early >= kEarlyEvaluations || !most_fall(leading_of(state, options))) return false;
  ++state.early;
  return true;
}

Verdict judge(GuardState& state,
              const GuardOptions& options,
              const Measures& now,
              const std::vector<int64_t>& prompt_ids,
              int64_t step,
              const Reference* compared) {
  if (!state.start) state.start = now;
  const Measures& start = *state.start;
  const Reference reference = compared ? *compared : Reference{start.trained, start.held_out};
  const auto& reading = options.read_prompts;
  const bool apart = !reading.empty() && reading.size() < options.held_out.size();
  const double level_alone = options.alpha / (apart ? 2.0 : 1.0),
               level = level_alone / static_cast<double>(std::max<int64_t>(1, options.evaluations));
  const auto change = [&](const at::Tensor& here, const at::Tensor& there,
                          const at::Tensor& first) {
    return paired_change(here, there, change_scales(first, prompt_ids), prompt_ids, level);
  };
  const PairedChange trained = change(now.trained, reference.trained, start.trained),
                     held_out = change(now.held_out, reference.held_out, start.held_out);
  PairedChange following;
  if (apart) {
    const at::Tensor places = at::tensor(reading, at::kLong);
    const auto some = [&](const at::Tensor& scores) { return scores.index_select(1, places); };
    following = change(some(now.held_out), some(reference.held_out), some(start.held_out));
  }
  const auto is_down = [&](const PairedChange& change) {
    return change.mean < -options.tolerance && upper_bound(change, level_alone) < 0;
  };
  const Evidence evidence{.options = options,
                          .start = start,
                          .now = now,
                          .prompt_ids = prompt_ids,
                          .trained = trained,
                          .held_out = held_out,
                          .following = following,
                          .leading = leading_of(state, options),
                          .before = state.before,
                          .flags = {.kl_over = now.kl_nats > options.kl_budget,
                                    .held_out_down = is_down(held_out),
                                    .following_down = is_down(following)},
                          .may_brake = !state.braked && state.accepted_step >= 0};
  Verdict verdict{.step = step, .worst = worst_images(trained, held_out)};
  add_findings(evidence, verdict);
  if (verdict.state == State::kFine) {
    state.accepted_step = step;
    verdict.reason = fine_words(trained, held_out);
  }
  verdict.figures.emplace(verdict.figures.begin(), "guard/state",
                          static_cast<double>(verdict.state));
  state.before = evidence.flags;
  verdict.accepted_step = state.accepted_step;
  return verdict;
}

std::string verdict_text(const Verdict& verdict) {
  std::string text = std::string("guard: ") + name_of(verdict.state);
  if (!verdict.kind.empty()) text += " (" + verdict.kind + ")";
  text += ": " + verdict.reason;
  if (verdict.state == State::kFine) return text;
  if (verdict.accepted_step < 0) return text + "; nothing was accepted yet";
  return text + "; accepted/ keeps step " + std::to_string(verdict.accepted_step);
}

}  // namespace guard
