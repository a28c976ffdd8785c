#include "finetune/forward/score_condition.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <utility>

#include "data/base/error.hpp"
#include "data/device/transfer.hpp"
#include "finetune/run/score_prompt.hpp"
#include "finetune/task/reward_combination.hpp"
#include "rewards/combine/prompt_groups.hpp"

namespace finetune {
namespace {

constexpr double kLowShare = 0.01, kHighShare = 0.99;  // percentiles of the lowest, highest score

ScoreScale scale_of(const at::Tensor& rewards) {
  const at::Tensor finite = std::get<0>(rewards.masked_select(rewards.isfinite()).sort());
  const auto at_share = [&](double share) {
    const auto last = static_cast<double>(finite.numel() - 1);
    return finite[std::llround(share * last)].item<double>();
  };
  ScoreScale scale;
  if (finite.numel() > 0) scale = {at_share(kLowShare), at_share(kHighShare)};
  if (finite.numel() == 0 || !(scale.high > scale.low))
    throw data::BadInput(
        "condition: expected images whose rewards differ, found none; choose another reward");
  return scale;
}

// The images of choices, each of a prompt once.
struct RatedRows {
  std::vector<std::filesystem::path> files;
  std::vector<std::string> prompts;
  std::map<std::pair<std::filesystem::path, std::string>, int64_t> known;
  int64_t of(const std::filesystem::path& file, const std::string& prompt) {
    if (file.empty()) return -1;
    const auto [place, added] =
        known.emplace(std::pair(file, prompt), static_cast<int64_t>(files.size()));
    if (added) {
      files.push_back(file);
      prompts.push_back(prompt);
    }
    return place->second;
  }
};

// -> [R, M] fp64 raw
at::Tensor raw_rewards(const TrainingTask& task,
                       const RatedRows& rows,
                       int64_t batch,
                       const Reporter& reporter) {
  const auto total = static_cast<int64_t>(rows.files.size());
  std::vector<at::Tensor> parts;
  for (int64_t start = 0; start < total; start += batch) {
    const int64_t end = std::min(start + batch, total);
    std::vector<at::Tensor> images;
    for (int64_t i = start; i < end; ++i)
      images.push_back(choice_image(task, rows.files[static_cast<size_t>(i)]));
    const std::vector<TrainingPrompt> prompts(rows.prompts.begin() + start,
                                              rows.prompts.begin() + end);
    parts.push_back(
        score_images(task.rewards, data::to_device(at::stack(images), task.device), prompts));
    reporter.progress("images rated", end, total);
  }
  return at::cat(parts);
}

}  // namespace

int64_t score_of(const ScoreScale& scale, double reward) {
  const double place = std::clamp((reward - scale.low) / (scale.high - scale.low), 0.0, 1.0);
  return kLowestScore + std::llround(place * static_cast<double>(kHighestScore - kLowestScore));
}

ConditionedChoices with_scores(const std::vector<ImageChoice>& choices, const at::Tensor& rewards) {
  const auto count = static_cast<int64_t>(choices.size());
  TORCH_CHECK(rewards.dim() == 2 && rewards.size(0) == count && rewards.size(1) == 2,
              "with_scores: expected rewards of shape [", count, ", 2], got ", rewards.sizes());
  ConditionedChoices result{.choices = {}, .scale = scale_of(rewards)};
  for (int64_t i = 0; i < count; ++i) {
    const ImageChoice& choice = choices[static_cast<size_t>(i)];
    const double a = rewards[i][0].item<double>(), b = rewards[i][1].item<double>();
    if (choice.b.empty() || !std::isfinite(a) || !std::isfinite(b)) {
      ++result.left_out;
      continue;
    }
    const int64_t of_a = score_of(result.scale, a), of_b = score_of(result.scale, b);
    if (!((choice.p - 0.5) * static_cast<double>(of_a - of_b) > 0)) {
      ++result.left_out;
      continue;
    }
    ImageChoice here = choice, turned = choice;
    here.score = std::max(of_a, of_b);
    turned.score = std::min(of_a, of_b);
    turned.p = 1 - choice.p;
    result.choices.insert(result.choices.end(), {here, turned});
  }
  if (result.choices.empty())
    throw data::BadInput(
        "condition: expected pairs whose scores agree with the choice, found none among " +
        std::to_string(count) + "; choose another reward");
  return result;
}

at::Tensor rate_choices(const TrainingTask& task,
                        const std::vector<ImageChoice>& choices,
                        const ForwardConfig& config,
                        const Reporter& reporter) {
  RatedRows rows;
  std::vector<int64_t> places;
  for (const auto& choice : choices) {
    places.push_back(rows.of(choice.a, choice.prompt));
    places.push_back(rows.of(choice.b, choice.prompt));
  }
  const at::Tensor raw = raw_rewards(task, rows, config.sample_batch_size, reporter);
  const auto prompt_ids = rewards::ids_of_texts(rows.prompts);
  rewards::CombineState state;
  state.spreads = rewards::pooled_spreads(raw, prompt_ids);
  const at::Tensor combined =
      rewards::combine_rewards(raw, prompt_ids, state, combine_options(task.rewards, config));
  const at::Tensor none = at::full({1}, std::numeric_limits<double>::quiet_NaN(), at::kDouble);
  const at::Tensor with_none = at::cat({none, combined.to(at::kDouble)});  // row -1 is row 0 here
  return with_none.index_select(0, at::tensor(places, at::kLong) + 1).view({-1, 2});
}

}  // namespace finetune
