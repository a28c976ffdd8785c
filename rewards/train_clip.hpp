#pragma once

// Contrastive pretraining of a CLIP (Radford et al. 2021), from nothing.

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "data/tokenizer.hpp"
#include "rewards/clip.hpp"
#include "rewards/clip_data.hpp"

namespace rewards {

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
                         const std::vector<CaptionedImages>& groups);

struct TrainClipOptions {
  ClipConfig model;
  int64_t train_batch_size = 256;
  int64_t max_train_steps = 1500;
  double max_train_minutes = 0;  // > 0: the schedule follows the clock instead of the steps
  std::string optimizer =
      "adamw";  // adamw | muon (its matrices inside the towers; adamw for the rest)
  double learning_rate = 1e-3;
  int64_t lr_warmup_steps = 50;
  double weight_decay = 0.02;
  double max_grad_norm = 1.0;
  double ema_decay = 0.995;
  int64_t logging_steps = 20;
  int64_t validation_steps = 200;
  int64_t checkpointing_steps = 200;
  int64_t seed = 0;
  std::filesystem::path output_dir;
  std::string resume_from_checkpoint;  // "": a new run; "latest", or a state file
};

// Named groups that the training reports on: "seen", "unseen".
struct ExamSet {
  std::string name;
  std::vector<CaptionedImages> groups;
};

struct TrainClipResult {
  Clip clip;  // the average's weights, without gradients
  int64_t steps = 0;
  double minutes = 0;
  std::vector<Retrieval> exams;  // one for each set
};
// Writes metrics.jsonl, state.safetensors and snapshots (clip/, text_encoder/) into output_dir;
// `print` gets a line of progress now and then. Without a time limit a resumed run equals an
// uninterrupted one bit for bit.
TrainClipResult train_clip(const TrainClipOptions& options,
                           const data::Tokenizer& tokenizer,
                           const ClipSource& source,
                           const std::vector<ExamSet>& exams,
                           const std::function<void(const std::string&)>& print);

}  // namespace rewards
