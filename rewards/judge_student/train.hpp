#pragma once

// Trains the student (rewards/judge_student/student.hpp) on a judge's judgements: first its members
// on the embeddings of a frozen CLIP, each image and prompt embedded once; then, optionally, the
// CLIP's last layers with them.

#include <functional>
#include <string>
#include <vector>

#include "data/text/clip_tokenizer.hpp"
#include "data/train/training_loop.hpp"
#include "rewards/clip/trained_layers.hpp"
#include "rewards/judge_student/student.hpp"

namespace rewards {

// Judgements, which refer to images and prompts by their rows of embeddings.
struct StudentData {
  at::Tensor images;  // [I, P] unit norm
  at::Tensor texts;   // [T, P] unit norm, one row a distinct prompt
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
  std::string digest{};  // of the judgements: a run can only be resumed on the same ones
};

struct StudentTraining {
  train::LoopOptions loop{.train_batch_size = 256,  // scores, and half as many pairs, of an update
                          .learning_rate = 1e-3,    // peak of a cosine schedule
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
JudgeStudent train_student(const StudentConfig& config,
                           const StudentData& data,
                           const StudentTraining& options,
                           const Print& print);

// The CLIP that the embeddings were made with, what it embedded, and which layers are tuned.
struct StudentTower {
  const Clip& clip;
  const data::Tokenizer& tokenizer;
  std::function<at::Tensor(const at::Tensor& rows)> images;  // [B] int64 -> [B, 3, H, W] in [0, 1]
  std::vector<std::string> prompts;                          // T
  ClipLayers layers{};
};
struct TunedStudent {
  JudgeStudent student;
  Clip clip;
};
// Trains a trained student further, together with the CLIP's last layers. Files and resuming as
// train_student.
TunedStudent tune_student(const JudgeStudent& start,
                          const StudentTower& tower,
                          const StudentData& data,
                          const StudentTraining& options,
                          const Print& print);

}  // namespace rewards
