#include "diffusion/checkpoints/check_fit.hpp"

#include <ATen/ATen.h>

#include <algorithm>

#include "data/base/error.hpp"
#include "diffusion/naming/part_names.hpp"
#include "diffusion/networks/network_files.hpp"
#include "diffusion/pipeline/t5_text.hpp"

using data::BadInput;

namespace diffusion {
namespace {

// Throws BadInput "<source>: <what> ...".
[[noreturn]] void refuse_fit(const std::string& source, const std::string& what) {
  throw BadInput(source + ": " + what + "; they are of different checkpoints");
}

void check_text_width(const Pipeline& pipeline, const std::string& source) {
  int64_t text_width = 0;
  for (const auto& encoder : pipeline.text_encoders)
    text_width += encoder.network.token_embedding.size(1);
  const int64_t expected = traits(pipeline.network).context_width;
  if (expected == text_width) return;
  refuse_fit(source,
             "the unet's cross_attention_dim is " + std::to_string(expected) +
                 ", the hidden_size of the text " +
                 (pipeline.text_encoders.size() > 1 ? "encoders together is " : "encoder is ") +
                 std::to_string(text_width));
}

void check_vocabulary(const data::Tokenizer& tokenizer,
                      const nn::ClipText& encoder,
                      const std::string& source) {
  auto ids = static_cast<int64_t>(tokenizer.vocab.size());
  for (const auto& token : tokenizer.added) ids = std::max(ids, token.id + token.count);
  const int64_t rows = encoder.token_embedding.size(0);
  if (ids <= rows) return;
  refuse_fit(source, "the tokenizer's words take " + std::to_string(ids) +
                         " ids, the text encoder's vocab_size is " + std::to_string(rows));
}

void check_channels(const Pipeline& pipeline, const std::string& source) {
  const NetworkTraits unet = traits(pipeline.network);
  const std::string name = kind_of(pipeline.network).part;
  const int64_t latent = pipeline.vae.config.latent_channels;
  if (unet.out_channels == latent && (unet.in_channels == latent || unet.edits_images)) return;
  refuse_fit(source, "the " + name + "'s in_channels and out_channels are " +
                         std::to_string(unet.in_channels) + " and " +
                         std::to_string(unet.out_channels) + ", the vae's latent_channels " +
                         std::to_string(latent));
}

void check_vocabulary(const data::UnigramTokenizer& tokenizer,
                      const nn::T5Encoder& encoder,
                      const std::string& source) {
  int64_t ids = 0;
  for (const auto& [text, piece] : tokenizer.pieces) ids = std::max(ids, piece.id + 1);
  for (const auto& [text, id] : tokenizer.special) ids = std::max(ids, id + 1);
  const int64_t rows = encoder.token_embedding.size(0);
  if (ids <= rows) return;
  refuse_fit(source, "the words of T5's tokenizer take " + std::to_string(ids) +
                         " ids, the vocab_size of its encoder is " + std::to_string(rows));
}

void check_projection(const TextEncoder& encoder,
                      const std::string& part,
                      const std::string& source) {
  if (encoder.network.text_projection.weight.defined()) return;
  throw BadInput(source + ": " + part + ": expected text_projection.weight, found none; " +
                 "expected a CLIPTextModelWithProjection");
}

// As many ids of a prompt by both tokenizers.
void check_lengths(const Pipeline& pipeline, const std::string& source) {
  const TextEncoder &first = pipeline.text_encoders[0], &second = pipeline.text_encoders[1];
  if (first.tokenizer.max_length != second.tokenizer.max_length) {
    refuse_fit(source, "tokenizer and tokenizer_2 make " +
                           std::to_string(first.tokenizer.max_length) + " and " +
                           std::to_string(second.tokenizer.max_length) + " ids of a prompt");
  }
}

// SDXL's second encoder and what the UNet reads of it.
void check_second_encoder(const Pipeline& pipeline, const std::string& source) {
  const int64_t read = traits(pipeline.network).pooled_width;
  const TextEncoder& second = pipeline.text_encoders[1];
  check_projection(second, kText2Part, source);
  check_vocabulary(second.tokenizer, second.network, source);
  const int64_t pooled = second.network.text_projection.weight.size(0);
  if (pooled != read) {
    refuse_fit(source, "the unet reads " + std::to_string(read) +
                           " pooled values of the text, text_encoder_2 projects to " +
                           std::to_string(pooled));
  }
  check_lengths(pipeline, source);
}

[[noreturn]] void refuse_size(const std::string& source,
                              const std::string& own,
                              int64_t expected,
                              const std::string& what,
                              int64_t found) {
  refuse_fit(source, "the transformer's " + own + " is " + std::to_string(expected) + ", " + what +
                         " " + std::to_string(found));
}

// T5's rows fit the network.
void check_t5(const Pipeline& pipeline, const char* part, const std::string& source) {
  const auto& t5 = pipeline.t5_text->encoder;
  if (!t5) return;
  const int64_t expected = traits(pipeline.network).context_width,
                found = t5->network.config.d_model;
  if (found != expected)
    refuse_size(source, "joint_attention_dim", expected, std::string("the d_model of ") + part,
                found);
  check_vocabulary(t5->tokenizer, t5->network, source);
}

// FLUX.1's text: T5's rows, and the pooled text of a CLIP that does not project it.
void check_t5_alone(const Pipeline& pipeline,
                    const ModelFamily& family,
                    const std::string& source) {
  if (!pipeline.t5_text->encoder)
    throw BadInput(source + ": " + family.t5_encoder->part + " (T5): expected it, because " +
                   family.name + " reads no other rows, found none; leave out --no_t5");
  check_t5(pipeline, family.t5_encoder->part, source);
  const TextEncoder& clip = pipeline.text_encoders[0];
  check_vocabulary(clip.tokenizer, clip.network, source);
  const int64_t expected = traits(pipeline.network).pooled_width;
  const nn::Linear& projection = clip.network.text_projection;
  const int64_t found = projection.weight.defined() ? projection.weight.size(0)
                                                    : clip.network.token_embedding.size(1);
  if (found != expected)
    refuse_size(source, "pooled_projection_dim", expected, "the hidden_size of text_encoder",
                found);
}

// Stable Diffusion 3's text: both CLIPs project, their rows and T5's fit the network.
void check_joint_text(const Pipeline& pipeline, const std::string& source) {
  const NetworkTraits network = traits(pipeline.network);
  int64_t width = 0, pooled = 0;
  for (size_t i = 0; i < pipeline.text_encoders.size(); ++i) {
    const TextEncoder& encoder = pipeline.text_encoders[i];
    check_projection(encoder, kTextParts[i], source);
    check_vocabulary(encoder.tokenizer, encoder.network, source);
    width += encoder.network.token_embedding.size(1);
    pooled += encoder.network.text_projection.weight.size(0);
  }
  const auto fits = [&](bool good, const std::string& own, int64_t expected,
                        const std::string& what, int64_t found) {
    if (good) return;
    refuse_size(source, own, expected, what, found);
  };
  fits(width <= network.context_width, "joint_attention_dim", network.context_width,
       "the hidden_size of both CLIP encoders together", width);
  fits(pooled == network.pooled_width, "pooled_projection_dim", network.pooled_width,
       "text_encoder and text_encoder_2 project to", pooled);
  check_t5(pipeline, kText3Part, source);
}

// The network is of the architecture that the class has.
void check_architecture(const ClassFamily& kind,
                        const Pipeline& pipeline,
                        const std::string& source) {
  const NetworkKind& network = kind_of(pipeline.network);
  if (network.class_name == std::string(kind.family.network_class)) return;
  throw BadInput(source + ": a " + kind.pipeline.name + " has a " + kind.family.network_part +
                 " (" + kind.family.network_class + "), found a " + network.class_name +
                 "; model_index.json and the network are of different families");
}

// The network has what the class in model_index.json says.
void check_family(const Pipeline& pipeline, const std::string& source) {
  const ClassFamily kind = class_family(pipeline.class_name, source);
  check_architecture(kind, pipeline, source);
  const auto check = [&](bool expected, bool found, const std::string& what) {
    if (expected == found) return;
    throw BadInput(source + ": a " + kind.pipeline.name + " has a unet " +
                   (expected ? "with " : "without ") + what + ", found one " +
                   (found ? "with" : "without") +
                   "; model_index.json and the unet are of different families");
  };
  const NetworkTraits network = traits(pipeline.network);
  check(kind.family.reads_pooled_text, network.reads_time_ids,
        "addition_embed_type text_time (Stable Diffusion XL)");
  check(kind.pipeline.edits_images, network.edits_images,
        std::to_string(2 * pipeline.vae.config.latent_channels) +
            " in_channels (InstructPix2Pix's source image)");
  check_scheduler(kind.family, pipeline.scheduler, source);
  if (kind.pipeline.embeds_guidance)
    check(true, network.guidance_width > 0, "time_cond_proj_dim (LCM's guidance)");
}

}  // namespace

void check_scheduler(const ModelFamily& family,
                     const SchedulerConfig& scheduler,
                     const std::string& source) {
  if (!family.says_velocity || scheduler.flow) return;
  throw BadInput(source + ": scheduler: expected one of flow matching, as " + family.name +
                 " needs (FlowMatchEulerDiscreteScheduler), found " + scheduler.class_name +
                 " with betas; take the scheduler_config.json of the model's source");
}

void check_fit(const Pipeline& pipeline, const std::string& source) {
  check_channels(pipeline, source);
  check_family(pipeline, source);
  if (pipeline.t5_text && pipeline.t5_text->alone)
    return check_t5_alone(pipeline, class_family(pipeline.class_name, source).family, source);
  if (pipeline.t5_text) {
    check_joint_text(pipeline, source);
    return check_lengths(pipeline, source);
  }
  check_text_width(pipeline, source);
  check_vocabulary(pipeline.text_encoders[0].tokenizer, pipeline.text_encoders[0].network, source);
  if (pipeline.text_encoders.size() > 1) check_second_encoder(pipeline, source);
}

}  // namespace diffusion
