#include "tools/finetune/edit_prompts.hpp"

#include <ATen/ATen.h>

#include <algorithm>

#include "data/base/error.hpp"
#include "data/world/edit_sample.hpp"
#include "data/world/edit_score.hpp"

namespace tools {
namespace {

bool is_axis(const std::string& name) {
  return std::find(world::kAxisNames.begin(), world::kAxisNames.end(), name) !=
         world::kAxisNames.end();
}

// Exact scores of images made from the batch's edits. -> [B]
at::Tensor exact_scores(const rewards::RewardBatch& batch, size_t axis) {
  const at::Tensor images = batch.images.detach().to(at::kCPU, at::kFloat);
  TORCH_CHECK(static_cast<int64_t>(batch.edits.size()) == images.size(0),
              "exact_scores: expected an edit for each of ", images.size(0), " images, found ",
              batch.edits.size());
  std::vector<float> scores;
  world::EditView view;
  for (size_t i = 0; i < batch.edits.size(); ++i) {
    const data::EditTriple& edit = batch.edits[i];
    if (i == 0 || edit.line != batch.edits[i - 1].line)  // an edit's images come together
      view = world::view_of_line(edit.line, edit.where);
    const at::Tensor image = images[static_cast<int64_t>(i)];
    scores.push_back(static_cast<float>(world::score_edit(view, image).values[axis]));
  }
  return at::tensor(scores).to(batch.images.device());
}

}  // namespace

std::vector<finetune::TrainingPrompt> read_edits(const std::string& folder_or_file,
                                                 std::set<std::string>& taken) {
  std::vector<finetune::TrainingPrompt> prompts;
  for (const auto& edit : data::read_edit_triples(folder_or_file, false)) {
    finetune::TrainingPrompt prompt(edit);
    if (taken.insert(finetune::label_of(prompt)).second) prompts.push_back(std::move(prompt));
  }
  return prompts;
}

bool of_built_in_world(const std::vector<finetune::TrainingPrompt>& prompts) {
  return std::all_of(prompts.begin(), prompts.end(), [](const auto& prompt) {
    return prompt.edit && world::sample_origin(prompt.edit->line, prompt.edit->where);
  });
}

rewards::RewardSources with_exact_scores(rewards::RewardSources sources) {
  for (size_t axis = 0; axis < world::kAxisNames.size(); ++axis) {
    const std::string name = world::kAxisNames[axis];
    sources.given[name] = {
        .info = {.name = name,
                 .unit = "0-5",
                 .low = 0,
                 .high = 5,
                 .needs_prompt = true,
                 .description = "exact score of an edit (built-in world only)"},
        .score = [axis](const rewards::RewardBatch& batch) { return exact_scores(batch, axis); }};
  }
  return sources;
}

void check_exact_scores(const std::vector<rewards::WeightedReward>& rewards,
                        const std::vector<finetune::TrainingPrompt>& prompts) {
  for (const auto& [reward, weight] : rewards) {
    if (!is_axis(reward.info.name)) continue;
    for (const auto& prompt : prompts) {
      if (!of_built_in_world({prompt}))
        throw data::BadInput(reward.info.name + ": " +
                             (prompt.edit ? prompt.edit->where : prompt.text) +
                             " is no edit of the built-in world, which alone has exact scores; "
                             "name another reward");
    }
  }
}

std::vector<rewards::RewardWeight> other_edit_scores(
    const std::vector<rewards::RewardWeight>& trained) {
  std::vector<rewards::RewardWeight> others;
  for (const std::string axis : world::kAxisNames) {
    const bool there = std::any_of(trained.begin(), trained.end(),
                                   [&](const auto& one) { return one.name == axis; });
    if (!there) others.push_back({axis, 1});
  }
  return others;
}

}  // namespace tools
