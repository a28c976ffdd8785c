#pragma once

// Contrastive pretraining of a CLIP from scratch (Radford et al. 2021).

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "data/text/clip_tokenizer.hpp"
#include "data/train/training_loop.hpp"
#include "rewards/clip/model.hpp"
#include "rewards/clip/pretrain_data.hpp"

namespace rewards {

// Token ids without the columns that are padding in every text; tokens after the end token have no
// effect. -> [B, L]
at::Tensor trimmed_ids(const data::Tokenizer& tokenizer, const std::vector<std::string>& captions);

// Symmetric InfoNCE (Radford et al. 2021, figure 3): the mean of the cross entropies of images
// among texts and of texts among images, nats. Pairs marked in `also_true` are left out of the
// denominators. image, text: [B, P] unit norm; logit_scale: [] logarithm; also_true: [B, B] bool,
// or undefined. -> []
at::Tensor clip_loss(const at::Tensor& image,
                     const at::Tensor& text,
                     const at::Tensor& logit_scale,
                     const at::Tensor& also_true);

struct Retrieval {
  double image_to_text = 0;  // fraction of images whose own caption scores highest of the group
  double text_to_image = 0;  // fraction of captions whose own image does
};
Retrieval retrieval_top1(const Clip& clip,
                         const data::Tokenizer& tokenizer,
                         const std::vector<ContrastiveBatch>& groups);

struct TrainClipOptions {
  train::LoopOptions loop{.train_batch_size = 256,
                          .max_train_steps = 1500,
                          .weight_decay = 0.02,
                          .ema_decay = 0.995,
                          .logging_steps = 20,
                          .validation_steps = 200,
                          .checkpointing_steps = 200};
  ClipConfig model;
  // adamw, or muon: Muon for the matrices inside the towers, AdamW for the rest
  std::string optimizer = "adamw";
};

// Named groups whose retrieval is reported during the training: "seen", "unseen".
struct EvaluationSet {
  std::string name;
  std::vector<ContrastiveBatch> groups;
};

struct TrainClipResult {
  Clip clip;  // the averaged weights, without gradients
  int64_t steps = 0;
  double minutes = 0;
  std::vector<Retrieval> retrieval;  // one for each set
};
// Writes metrics.jsonl, state.safetensors and snapshots (clip/, text_encoder/) into output_dir;
// `print` gets lines of progress. Without a time limit a resumed run equals an
// uninterrupted one bit for bit.
TrainClipResult train_clip(const TrainClipOptions& options,
                           const data::Tokenizer& tokenizer,
                           const ClipSource& source,
                           const std::vector<EvaluationSet>& sets,
                           const std::function<void(const std::string&)>& print);

}  // namespace rewards
