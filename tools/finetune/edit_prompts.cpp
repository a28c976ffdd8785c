#include "tools/finetune/edit_prompts.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <iostream>

#include "data/base/error.hpp"
#include "data/images/image_folder.hpp"
#include "data/images/image_io.hpp"
#include "data/world/edit_sample.hpp"
#include "diffusion/pipeline/edit_conditioning.hpp"
#include "rewards/combine/reward_weights.hpp"
#include "tools/edit/jobs.hpp"

namespace tools {
namespace {

constexpr int64_t kEncodedAtOnce = 8;  // source images: memory alone

std::vector<std::string> instructions_of(const EditTable& table,
                                         const std::vector<std::string>& prompts) {
  std::vector<std::string> texts;
  for (const auto& prompt : prompts) texts.push_back(table.at(prompt).instruction);
  return texts;
}

// -> [N, C, h, w] fp32 raw
at::Tensor source_latents(const diffusion::Pipeline& pipeline,
                          const EditTable& table,
                          const std::vector<std::string>& prompts,
                          int64_t pixels) {
  const at::NoGradGuard no_gradient;
  const at::Device device = diffusion::device_of(pipeline.network);
  std::vector<at::Tensor> latents;
  for (size_t done = 0; done < prompts.size();) {
    std::vector<at::Tensor> images;
    for (; done < prompts.size() && images.size() < kEncodedAtOnce; ++done) {
      const at::Tensor whole = data::read_image(table.at(prompts[done]).source);
      images.push_back(data::middle_square(whole, pixels));
    }
    const at::Tensor batch = at::stack(images).to(device) * 2 - 1;
    latents.push_back(diffusion::vae_encode(pipeline.vae, batch).mean.to(at::kFloat));
  }
  return at::cat(latents);
}

size_t axis_named(const std::string& name) {
  const auto* const found = std::find(world::kAxisNames.begin(), world::kAxisNames.end(), name);
  return static_cast<size_t>(found - world::kAxisNames.begin());
}

bool is_axis(const std::string& name) { return axis_named(name) < world::kAxisNames.size(); }

// Exact scores of images edited from the table's sources. -> [B]
at::Tensor exact_scores(const EditTable& table, const rewards::RewardBatch& batch, size_t axis) {
  const at::Tensor images = batch.images.detach().to(at::kCPU, at::kFloat);
  std::vector<float> scores;
  world::EditView view;
  for (size_t i = 0; i < batch.prompts.size(); ++i) {
    if (i == 0 || batch.prompts[i] != batch.prompts[i - 1]) {  // a prompt's images come together
      const data::EditTriple& edit = table.at(batch.prompts[i]);
      view = world::view_of_line(edit.line, edit.where);
    }
    const at::Tensor image = images[static_cast<int64_t>(i)];
    scores.push_back(static_cast<float>(world::score_edit(view, image).values[axis]));
  }
  return at::tensor(scores).to(batch.images.device());
}

rewards::Reward exact_reward(const std::string& name,
                             const std::shared_ptr<const EditTable>& table) {
  for (const auto& [prompt, edit] : *table) {
    if (!world::sample_origin(edit.line, edit.where))
      throw data::BadInput(name + ": " + edit.where +
                           " is no edit of the built-in world, which alone has exact scores; name "
                           "another reward");
  }
  return {.info = {.name = name,
                   .unit = "0-5",
                   .low = 0,
                   .high = 5,
                   .needs_prompt = true,
                   .description = "exact score of an edit (built-in world only)"},
          .score = [table, axis = axis_named(name)](const rewards::RewardBatch& batch) {
            return exact_scores(*table, batch, axis);
          }};
}

// Shows the reward instructions for prompts.
rewards::Reward told_instructions(rewards::Reward reward,
                                  const std::shared_ptr<const EditTable>& table) {
  const auto score = reward.score;
  reward.score = [score, table](const rewards::RewardBatch& batch) {
    return score({batch.images, instructions_of(*table, batch.prompts)});
  };
  return reward;
}

}  // namespace

NamedEdits read_edits(const std::string& folder_or_file, EditTable& table) {
  NamedEdits edits{.names = {}, .synthetic = true};
  for (const auto& edit : data::read_edit_triples(folder_or_file, false)) {
    const std::string name = edit.source.filename().string() + ": " + edit.instruction;
    if (!table.emplace(name, edit).second) continue;
    edits.names.push_back(name);
    if (!world::sample_origin(edit.line, edit.where)) edits.synthetic = false;
  }
  return edits;
}

std::vector<rewards::WeightedReward> make_edit_rewards(
    const std::string& specification,
    const rewards::RewardSources& sources,
    const std::shared_ptr<const EditTable>& table) {
  std::string others;
  const auto wanted = rewards::parse_reward_weights(specification);
  for (const auto& one : wanted) {
    if (!is_axis(one.name)) others += (others.empty() ? "" : ",") + one.name;
  }
  std::vector<rewards::WeightedReward> list;
  if (!others.empty()) list = rewards::make_rewards(others, sources);
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (is_axis(wanted[i].name)) {
      list.insert(list.begin() + static_cast<int64_t>(i), {exact_reward(wanted[i].name, table)});
    } else {
      list[i].reward = told_instructions(list[i].reward, table);
    }
    list[i].weight = wanted[i].weight;
  }
  return list;
}

std::string other_edit_scores(const std::string& specification) {
  const auto named = rewards::parse_reward_weights(specification);
  std::string others;
  for (const std::string axis : world::kAxisNames) {
    const bool there =
        std::any_of(named.begin(), named.end(), [&](const auto& one) { return one.name == axis; });
    if (!there) others += (others.empty() ? "" : ",") + axis;
  }
  return others;
}

void make_editing(finetune::Task& task,
                  const std::shared_ptr<const diffusion::Pipeline>& pipeline,
                  const std::shared_ptr<const EditTable>& table,
                  const TrainingCommand& command,
                  int64_t pixels) {
  const auto warn = [](const std::string& text) { std::cerr << "warning: " << text << "\n"; };
  const diffusion::RewardRequest request{
      .scores = parse_request(command.request, diffusion::reward_config(pipeline->network),
                              "--request", warn)};
  task.encode = [pipeline, table](const std::vector<std::string>& prompts) {
    const auto texts = instructions_of(*table, prompts);
    return diffusion::encode_prompts(*pipeline, {texts.begin(), texts.end()});
  };
  const double scale = command.image_guidance_scale;
  task.edit = [=](const std::vector<std::string>& prompts) {
    diffusion::EditCondition edit{source_latents(*pipeline, *table, prompts, pixels), {}, scale};
    if (diffusion::traits(pipeline->network).reads_reward) {
      edit.reward = diffusion::reward_condition(
          *pipeline, std::vector<diffusion::RewardRequest>(prompts.size(), request));
    }
    return edit;
  };
}

}  // namespace tools
