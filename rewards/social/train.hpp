#pragma once

// Finetunes a CLIP on pairs of images of which a community preferred one; the reward is the cosine
// of prompt and image (Picsart's Social Reward, with the loss and the trained layers of its
// released code).

#include <functional>
#include <string>
#include <vector>

#include "data/text/clip_tokenizer.hpp"
#include "data/train/training_loop.hpp"
#include "rewards/clip/model.hpp"
#include "rewards/clip/trained_layers.hpp"

namespace rewards {

// mean over B of relu(|t - p|^2 - |t - n|^2 + margin), squared Euclidean distances; for unit-norm
// embeddings relu(2 (t'n - t'p) + margin). text, preferred, other: [B, P] unit norm. -> []
at::Tensor triplet_loss(const at::Tensor& text,
                        const at::Tensor& preferred,
                        const at::Tensor& other,
                        double margin);

struct Triplet {
  int64_t prompt = 0, preferred = 0, other = 0;  // rows of TripletSet
};
struct TripletSet {
  std::vector<std::string> prompts;
  // rows: [B] int64 -> [B, 3, H, W] fp32 in [0, 1]
  std::function<at::Tensor(const at::Tensor& rows)> images;
  std::vector<Triplet> training{}, validation{};
  std::string digest{};  // of all the data: a run can only be resumed on the same
};

struct TrainSocialOptions {
  train::LoopOptions loop{.train_batch_size = 32,
                          .learning_rate = 3e-5,
                          .lr_warmup_steps = 0,
                          .weight_decay = 0.01,
                          .ema_decay = 0,
                          .logging_steps = 20,
                          .validation_steps = 200,
                          .checkpointing_steps = 200};
  double margin = 0.3;
  ClipLayers layers;
  std::string lr_scheduler = "constant";
};

// Fraction of triplets whose preferred image scores higher; equal scores count a half.
double triplet_accuracy(const Clip& clip,
                        const data::Tokenizer& tokenizer,
                        const TripletSet& set,
                        const std::vector<Triplet>& triplets);

struct TrainSocialResult {
  Clip clip;  // the averaged weights where there is an average, without gradients
  double accuracy_before = 0, accuracy = 0;  // on the validation triplets
  int64_t steps = 0;
  double minutes = 0;
};
// Writes metrics.jsonl and state.safetensors into output_dir. Resumed, it equals an uninterrupted
// run bit for bit on the CPU.
TrainSocialResult train_social(const TrainSocialOptions& options,
                               const Clip& start,
                               const data::Tokenizer& tokenizer,
                               const TripletSet& set,
                               const std::function<void(const std::string&)>& print);

}  // namespace rewards
