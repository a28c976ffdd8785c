#pragma once

// Edits to learn from, encoded once.

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "data/images/edit_dataset.hpp"
#include "diffusion/pipeline/pipeline.hpp"
#include "diffusion/sampling/noise_schedule.hpp"
#include "finetune/edit/config.hpp"

namespace finetune {

struct EncodedEdits {
  at::Tensor source;     // [N, C, h, w] fp16: the mode of the source's latent, raw
  at::Tensor mean, std;  // [N, C, h, w] fp16: the edited image's Gaussian, unit variance
  at::Tensor scores;     // [N, K] fp32; NaN: not scored
  std::vector<std::string> instructions, feedback;  // N; feedback "": none
  std::vector<int64_t> left_out{};  // places in the list of edits whose images could not be used
  int64_t size() const { return source.size(0); }
};

// Both images of an edit, cut to the middle square and resized alike. -> [2, 3, R, R] in [0, 1]
at::Tensor edit_images(const data::EditTriple& triple, int64_t resolution);

struct EditEncoding {
  int64_t resolution = 64;  // pixels of a side: the middle square of both images
  int64_t batch_size = 64;
  std::filesystem::path keep = {};  // file of the latents; "": nowhere
};
// Reads and encodes the images, or takes their latents from the file where they are kept. Names and
// leaves out the edits with an image that cannot be read, and those whose images differ in size.
// Throws BadInput when none is left, when the file holds other latents, and as score_table.
EncodedEdits encode_edits(const diffusion::Pipeline& pipeline,
                          const std::vector<data::EditTriple>& triples,
                          const EditEncoding& options,
                          const std::function<void(const std::string&)>& print);

// The edits without those at the places `left_out`, which are in order.
std::vector<data::EditTriple> without(const std::vector<data::EditTriple>& triples,
                                      const std::vector<int64_t>& left_out);

// Scores in the order of the config's axes, NaN where an axis is not scored. -> [N, K] fp32
// Throws BadInput with the line for an unknown axis and a score outside the range.
at::Tensor score_table(const std::vector<data::EditTriple>& triples,
                       const diffusion::RewardBranchConfig& config);

// Texts as the network reads them; "" is the empty prompt, and no feedback. Those of the set are
// encoded once.
struct EditTexts {
  std::function<at::Tensor(const std::vector<std::string>& texts)> hidden;  // -> [N, L, D]
  std::function<at::Tensor(const std::vector<std::string>& texts)> pooled;  // -> [N, D]
};
EditTexts edit_texts(const diffusion::Pipeline& pipeline, const EncodedEdits& set);

// What each edit of a batch is not told.
struct Dropped {
  at::Tensor text, image, feedback;  // [B] bool
  at::Tensor axes;                   // [B, K] bool
};
// One number a sample decides on text and image (Brooks et al. 2023, 3.2.1), see EditConfig.
Dropped draw_dropped(const EditConfig& config,
                     int64_t batch,
                     int64_t axes,
                     at::Generator& generator);

struct EditDraw {
  at::Tensor rows;  // [B] int64
  Dropped dropped;
  at::Tensor posterior;  // [B, C, h, w] standard normal, for the edited images' Gaussian
  at::Tensor scored_as;  // [B] int64: the rows whose scores they get
  at::Tensor t;          // [B] int64
  at::Tensor noise;      // [B, C, h, w] standard normal
};
EditDraw draw_edits(const EncodedEdits& set,
                    const EditConfig& config,
                    int64_t num_train_timesteps,
                    at::Generator& generator);

struct EditBatch {
  at::Tensor latents;  // [B, C, h, w] of the edited images, unit variance
  at::Tensor source;   // [B, C, h, w] raw; zeros where it is dropped
  at::Tensor hidden;   // [B, L, D]
  diffusion::RewardCondition reward;
  at::Tensor t, noise;  // as drawn
};
EditBatch edit_batch(const EncodedEdits& set,
                     const EditDraw& draw,
                     const EditTexts& texts,
                     at::Device device);

// The squared error of eps or v, the mean of each edit. -> [B]
at::Tensor edit_errors(const diffusion::Network& unet,
                       const diffusion::NoiseSchedule& schedule,
                       const EditBatch& batch);

}  // namespace finetune
