#include "tools/sample/model.hpp"

#include <algorithm>
#include <map>

#include "data/base/log.hpp"
#include "data/device/memory.hpp"
#include "data/weights/weight_files.hpp"
#include "diffusion/checkpoints/check_fit.hpp"
#include "diffusion/checkpoints/diffusers_folder.hpp"
#include "diffusion/lora/apply.hpp"
#include "tools/cli/lora_choice.hpp"

namespace fs = std::filesystem;

namespace tools {
namespace {

using Texts = std::map<std::string, diffusion::Prompt>;

std::vector<diffusion::Prompt> prompts_of(const Texts& texts) {
  std::vector<diffusion::Prompt> prompts;
  for (const auto& [text, prompt] : texts) prompts.push_back(prompt);
  return prompts;
}

// Whether nothing merges LoRAs of prompts into the network, guides it or takes deltas of it.
bool reads_weights_alone(const SampleConfig& config, const std::vector<SamplePrompt>& prompts) {
  const bool has_tags = std::any_of(prompts.begin(), prompts.end(),
                                    [](const auto& prompt) { return !prompt.loras.empty(); });
  return !has_tags && config.guide.guide.empty() && config.deltas.delta.empty();
}

}  // namespace

bool can_prepack(const SampleConfig& config, const std::vector<SamplePrompt>& prompts) {
  return config.max_memory.empty() && reads_weights_alone(config, prompts);
}

bool can_stream(const SampleConfig& config, const std::vector<SamplePrompt>& prompts) {
  return !config.max_memory.empty() && config.lora.empty() && reads_weights_alone(config, prompts);
}

void encode_texts(const std::vector<SampleJob>& jobs,
                  int64_t clip_skip,
                  diffusion::Pipeline& pipeline) {
  if (!pipeline.t5_text) return;
  Texts prompts, negatives;
  for (const SampleJob& job : jobs) {
    prompts[job.prompt.text] = job.prompt;
    if (job.cfg_scale > 1) negatives[job.negative_prompt.text] = job.negative_prompt;
  }
  if (!diffusion::encode_and_free(pipeline, prompts_of(prompts), prompts_of(negatives), clip_skip))
    return;
  data::return_freed_memory();
  data::log_info("the texts are encoded: their encoders have left memory");
}

diffusion::Pipeline load_sample_model(const SampleConfig& config, at::Device device) {
  diffusion::Pipeline pipeline = open_model(config.checkpoint);
  if (!config.unet.empty()) {
    const auto told = diffusion::traits(pipeline.network).guidance;
    pipeline.network = diffusion::load_network(config.unet, config.checkpoint.holding);
    if (told && diffusion::traits(pipeline.network).guidance)
      diffusion::set_guidance(pipeline.network, *told);
    diffusion::check_fit(pipeline, config.unet);
  }
  pipeline.vae.use_slicing = config.vae_slicing;
  if (config.vae_tiling || config.vae_tile_size > 0)
    diffusion::enable_tiling(pipeline.vae, config.vae_tile_size);
  LoraShelf shelf;
  const auto uses = shelf.uses(parse_lora_choices(config.lora, config.lora_scale, config.lora_dir));
  for (const auto& use : uses) data::log_info(diffusion::lora_summary(*use.lora));
  diffusion::apply_loras(pipeline, uses);
  move_to(pipeline, device);
  return pipeline;
}

fs::path weights_of(const SampleConfig& config, const diffusion::Pipeline& pipeline) {
  const fs::path& source = pipeline.source;
  if (config.unet.empty() && fs::is_regular_file(source)) return source;
  const fs::path part = source / diffusion::kind_of(pipeline.network).part;
  const fs::path network = config.unet.empty() ? part : fs::path(config.unet);
  return data::find_weights(network, "diffusion_pytorch_model").front();
}

}  // namespace tools
