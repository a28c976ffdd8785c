#pragma once

// Trains the student (rewards/judge_student/student.hpp) on a judge's judgements: first its members
// on embeddings of a CLIP that stays as it is, each image and prompt embedded once; then, if
// wanted, the CLIP's last layers with them.

#include <functional>
#include <string>
#include <vector>

#include "data/text/clip_tokenizer.hpp"
#include "data/train/training_loop.hpp"
#include "rewards/clip/trained_layers.hpp"
#include "rewards/judge_student/student.hpp"

namespace rewards {

// Judgements by the rows of embeddings.
struct LvlmData {
  at::Tensor images;  // [I, P] unit norm
  at::Tensor texts;   // [T, P] unit norm, of each distinct prompt
  struct Points {
    at::Tensor image, text;  // [N] int64
    at::Tensor bins;         // [N, K, 5] soft labels
    at::Tensor known;        // [N, K] 1 where the judge scored that axis
  } points;
  struct Pairs {
    at::Tensor a, b, text;  // [Q] int64
    at::Tensor preference;  // [Q, K] probability that a is better
    at::Tensor known;       // [Q, K]
  } pairs;
  std::string digest{};  // of the judgements: a run is resumed on the same ones only
};

struct LvlmTraining {
  train::LoopOptions loop{.train_batch_size = 256,  // scores of an update; and half as many pairs
                          .learning_rate = 1e-3,    // falls to 0 as a cosine
                          .lr_warmup_steps = 0,
                          .weight_decay = 0.01,
                          .ema_decay = 0,
                          .logging_steps = 20,
                          .validation_steps = 1000000000,
                          .checkpointing_steps = 200};
  int64_t epochs = 20;
  double label_smoothing = 0.02;
};
using Print = std::function<void(const std::string&)>;

// Writes metrics.jsonl and state.safetensors into loop.output_dir; loop.max_train_steps follows
// from the epochs. Resumed, it equals an uninterrupted run bit for bit on the CPU.
LvlmStudent train_lvlm(const LvlmConfig& config,
                       const LvlmData& data,
                       const LvlmTraining& options,
                       const Print& print);

// What the embeddings were made of.
struct LvlmSources {
  std::function<at::Tensor(const at::Tensor& rows)> images;  // [B] int64 -> [B, 3, H, W] in [0, 1]
  std::vector<std::string> prompts;                          // T
};
struct TunedLvlm {
  LvlmStudent student;
  Clip clip;
};
// Goes on from a trained student with the CLIP's last layers. Files and resuming as train_lvlm.
TunedLvlm tune_lvlm(const LvlmStudent& start,
                    const Clip& clip,
                    const data::Tokenizer& tokenizer,
                    const LvlmSources& sources,
                    const ClipLayers& layers,
                    const LvlmData& data,
                    const LvlmTraining& options,
                    const Print& print);

// Fits each axis' temperature, and its gain where there are pairs, on judgements that the training
// did not see: the best of a grid by the negative logarithm of the likelihood.
void calibrate(LvlmStudent& student, const LvlmData& held_out);

}  // namespace rewards
