#include "finetune/forward/remembered_images.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "data/base/error.hpp"
#include "data/base/json.hpp"
#include "data/weights/safetensors.hpp"
#include "rewards/combine/prompt_groups.hpp"

namespace finetune {
namespace {

constexpr const char *kRememberedFile = "remembered.safetensors", *kPromptsNote = "prompts";

}  // namespace

Candidates candidates_of(const DrawnEpoch& epoch, const RememberedImages& memory) {
  Candidates all{epoch.latents, epoch.rewards, epoch.plan.draw.prompt_ids, epoch.plan.draw.seeds};
  std::vector<at::Tensor> latents, rewards;
  for (size_t id = 0; id < epoch.plan.prompts.size(); ++id) {
    const auto found = memory.of.find(epoch.plan.prompts[id].text);
    if (found == memory.of.end()) continue;
    for (const auto& image : found->second) {
      latents.push_back(image.latents);
      rewards.push_back(image.rewards);
      all.prompt_ids.push_back(static_cast<int64_t>(id));
      all.seeds.push_back(image.seed);
    }
  }
  if (latents.empty()) return all;
  all.latents = at::cat({all.latents, at::stack(latents)});
  all.rewards = at::cat({all.rewards, at::stack(rewards)});
  return all;
}

void remember(RememberedImages& memory,
              const Candidates& candidates,
              const at::Tensor& combined,
              const std::vector<TrainingPrompt>& prompts) {
  if (memory.each == 0) return;
  const at::Tensor on_cpu = combined.to(at::kCPU, at::kDouble).contiguous();
  const auto* reward = on_cpu.data_ptr<double>();
  for (auto& members : rewards::prompt_groups(on_cpu, candidates.prompt_ids)) {
    std::stable_sort(members.begin(), members.end(),
                     [&](int64_t a, int64_t b) { return reward[a] > reward[b]; });
    members.resize(std::min(members.size(), static_cast<size_t>(memory.each)));
    std::vector<RememberedImage> best;
    for (const int64_t row : members)
      best.push_back({candidates.latents[row].clone(), candidates.rewards[row].clone(),
                      candidates.seeds[static_cast<size_t>(row)]});
    const int64_t id = candidates.prompt_ids[static_cast<size_t>(members[0])];
    memory.of[prompts[static_cast<size_t>(id)].text] = std::move(best);
  }
}

void save_remembered(const std::filesystem::path& folder, const RememberedImages& memory) {
  std::vector<at::Tensor> latents, rewards;
  std::vector<int64_t> prompts, seeds;
  nlohmann::json texts = nlohmann::json::array();
  for (const auto& [text, images] : memory.of) {
    for (const auto& image : images) {
      latents.push_back(image.latents);
      rewards.push_back(image.rewards);
      prompts.push_back(static_cast<int64_t>(texts.size()));
      seeds.push_back(static_cast<int64_t>(image.seed));
    }
    texts.push_back(text);
  }
  data::Weights weights;
  weights.metadata[kPromptsNote] = data::to_text(texts);
  if (!latents.empty()) {
    weights.tensors = {{"latents", at::stack(latents)},
                       {"rewards", at::stack(rewards)},
                       {"prompts", at::tensor(prompts, at::kLong)},
                       {"seeds", at::tensor(seeds, at::kLong)}};
  }
  data::write_safetensors(folder / kRememberedFile, weights);
}

void load_remembered(const std::filesystem::path& folder, RememberedImages& memory) {
  const auto file = folder / kRememberedFile;
  const data::Weights weights = data::read_safetensors(file);
  memory.of.clear();
  const auto note = weights.metadata.find(kPromptsNote);
  const auto texts =
      note == weights.metadata.end() ? nlohmann::json() : data::parse_json(note->second);
  const auto part = [&](const char* name) {
    const auto found = weights.tensors.find(name);
    return found == weights.tensors.end() ? at::zeros({0}) : found->second;
  };
  const at::Tensor latents = part("latents"), rewards = part("rewards"), prompts = part("prompts"),
                   seeds = part("seeds");
  const int64_t count = latents.size(0);
  const bool fits = texts.is_array() && rewards.size(0) == count && prompts.size(0) == count &&
                    seeds.size(0) == count;
  for (int64_t i = 0; fits && i < count; ++i) {
    const auto text = static_cast<size_t>(prompts[i].item<int64_t>());
    if (text >= texts.size() || !texts[text].is_string()) break;
    memory.of[texts[text].get<std::string>()].push_back(
        {latents[i].clone(), rewards[i].clone(), static_cast<uint64_t>(seeds[i].item<int64_t>())});
  }
  if (!fits || memory.of.size() != texts.size())
    throw data::BadInput(file.string() +
                         ": expected the images that a run remembers, found another content; the "
                         "checkpoint is damaged");
}

}  // namespace finetune
