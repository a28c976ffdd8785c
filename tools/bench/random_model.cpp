#include "tools/bench/random_model.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <cmath>

#include "data/base/error.hpp"
#include "diffusion/checkpoints/diffusers_folder.hpp"
#include "diffusion/checkpoints/ldm_config.hpp"
#include "diffusion/families/family_defaults.hpp"
#include "diffusion/networks/vae/build.hpp"
#include "rewards/clip/files.hpp"

namespace bench {
namespace {

constexpr int64_t kVocabulary = 520, kClipLength = 77;

// The ids of the special tokens are those of the tokenizer, not of a full-size vocabulary.
nn::ClipTextConfig following(const data::Tokenizer& tokenizer, nn::ClipTextConfig config) {
  config.bos_token_id = tokenizer.bos;
  config.eos_token_id = tokenizer.eos;
  config.pad_token_id = tokenizer.pad;
  return config;
}

diffusion::TextEncoder random_encoder(const nn::ClipTextConfig& shape,
                                      const data::Tokenizer& tokenizer,
                                      bool projects,
                                      at::Generator& generator) {
  const nn::ClipTextConfig config = following(tokenizer, shape);
  diffusion::TextEncoder encoder{.network = nn::make_clip_text(config, generator),
                                 .tokenizer = tokenizer};
  if (projects) encoder.network.text_projection = nn::make_text_projection(config, generator);
  return encoder;
}

// The text encoders, and what the family of flow models has beside them.
void add_text(const ModelShape& shape,
              const diffusion::ModelFamily& family,
              data::Tokenizer tokenizer,
              at::Generator& generator,
              diffusion::Pipeline& pipeline) {
  pipeline.text_encoders.push_back(random_encoder(
      shape.text, tokenizer, diffusion::projects(family.text_encoders[0]), generator));
  if (shape.text_2) {
    tokenizer.pad_token = "!";
    tokenizer.pad = tokenizer.vocab.at("!");
    pipeline.text_encoders.push_back(
        random_encoder(*shape.text_2, tokenizer, /*projects=*/true, generator));
  }
  if (family.t5_encoder)
    pipeline.t5_text = diffusion::T5Text{.encoder = {}, .max_sequence_length = shape.t5_tokens};
  pipeline.force_zeros_for_empty_prompt = family.reads_pooled_text;
  if (family.says_velocity)
    pipeline.scheduler = diffusion::flow_scheduler_of(family, /*dynamic_shift=*/false);
  diffusion::set_family_defaults(pipeline, family);
}

}  // namespace

diffusion::Network random_network(const ModelShape& shape,
                                  at::ScalarType compute,
                                  at::Device device) {
  auto generator = at::detail::createCPUGenerator(1);
  diffusion::Network network = shape_network(shape, compute);
  for_each_tensor(network, "", [&](const std::string& name, at::Tensor& tensor) {
    const at::Tensor value = at::empty(tensor.sizes(), tensor.options().device(at::kCPU));
    if (value.dim() == 1) {
      value.fill_(name.ends_with(".weight") ? 1 : 0);  // norms, biases
    } else {
      const double bound = 1 / std::sqrt(static_cast<double>(value[0].numel()));
      value.uniform_(-bound, bound, generator);
    }
    tensor = value.to(device);
  });
  return network;
}

RandomModel make_random_model(const std::string& name, int64_t resolution) {
  ModelShape shape = shape_by_name(name);
  if (resolution > 0) shape = at_latent_side(shape, latent_side(shape, resolution));
  const auto& family = diffusion::class_family(shape.class_name, name).family;
  if (family.t5_alone)
    throw data::BadInput("shape: " + name +
                         " reads T5 alone, of which no random weights are made; measure its stages "
                         "transformer, vae and prdp");
  auto generator = at::detail::createCPUGenerator(1);
  RandomModel model;
  diffusion::Pipeline& pipeline = model.pipeline;
  pipeline.class_name = shape.class_name;
  const data::Tokenizer tokenizer = data::train_bpe(some_prompts(12), kVocabulary, kClipLength);
  pipeline.network = random_network(shape, at::kFloat, at::kCPU);
  pipeline.vae = diffusion::make_vae(shape.vae, generator);
  add_text(shape, family, tokenizer, generator, pipeline);
  pipeline.cache = diffusion::make_prompt_cache();
  shape.clip.text = following(tokenizer, shape.clip.text);
  model.clip = rewards::make_clip(shape.clip, generator);
  return model;
}

void save_random_model(const std::filesystem::path& folder, const RandomModel& model) {
  diffusion::save_pipeline(folder, model.pipeline, at::kHalf);
  rewards::save_clip(folder / "clip", model.clip, at::kHalf);
}

std::vector<std::string> some_prompts(int64_t count) {
  static const char* const kColours[] = {"red", "green", "blue", "yellow"};
  static const char* const kShapes[] = {"circle", "square", "triangle"};
  std::vector<std::string> prompts;
  for (int64_t k = 0; k < count; ++k) {
    prompts.push_back(std::string("a ") + kColours[k % 4] + " " + kShapes[k % 3]);
  }
  return prompts;
}

}  // namespace bench
