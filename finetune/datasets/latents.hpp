#pragma once

// A training set for a text-to-image network, encoded once: images as latents, captions as what the
// network reads of them.

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "diffusion/pipeline/pipeline.hpp"

namespace finetune {

struct CaptionedImages {
  at::Tensor images;                  // [B, 3, H, W] fp32 in [0, 1]
  std::vector<std::string> captions;  // B
};

// Where they come from: the built-in world, or a folder.
struct CaptionedSource {
  std::string name;  // for the model card
  std::function<CaptionedImages(int64_t count, at::Generator& generator)> draw;
};

// Images as the autoencoder sees them, with their captions.
struct EncodedImages {
  at::Tensor mean, std;  // [N, C, h, w] fp16: the autoencoder's Gaussian, scaled to unit variance
  std::vector<std::string> captions;  // N
};

// Mean and standard deviation of the images' latents, scaled to unit variance. images: [B, 3, H, W]
// in [0, 1] -> [B, 2, C, h, w] fp16
at::Tensor latent_gaussian(const diffusion::Vae& vae, const at::Tensor& images);

struct EncodeOptions {
  int64_t count = 40000;  // images
  int64_t num_workers = 2;
  int64_t batch_size = 64;
};
// Draws and encodes. `print` gets a line of progress now and then.
EncodedImages encode_images(const diffusion::Vae& vae,
                            const CaptionedSource& source,
                            const EncodeOptions& options,
                            at::Generator& generator,
                            const std::function<void(const std::string&)>& print);

// `origin` says what they were made from; reading a file of another origin throws BadInput.
void save_encoded_images(const std::filesystem::path& path,
                         const EncodedImages& images,
                         const std::string& origin);
EncodedImages load_encoded_images(const std::filesystem::path& path, const std::string& origin);

struct LatentSet {
  at::Tensor mean, std;  // as above
  at::Tensor caption;    // [N] int64: row of `hidden`
  at::Tensor
      hidden;  // [M, L, D] fp16: a row for each distinct caption; row 0 is the empty prompt's
  at::Tensor pooled;  // [M, P] fp16; undefined where the network reads none
  int64_t size() const { return mean.size(0); }
};
// Adds the text encoders' view of the captions: encode_together.
LatentSet encode_text(const EncodedImages& images,
                      const diffusion::Pipeline& pipeline,
                      const EncodeOptions& options);

struct LatentBatch {
  at::Tensor latents;  // [B, C, h, w] fp32, unit variance
  at::Tensor hidden;   // [B, L, D] fp32
  at::Tensor pooled;   // [B, P] fp32, or undefined
  at::Tensor caption;  // [B] int64: rows of the set's `hidden`
};
// rows: [B] int64. noise: [B, C, h, w] standard normal, which draws from the autoencoder's
// Gaussian. drop: [B] bool, true where the caption gives way to the empty prompt.
LatentBatch latent_batch(const LatentSet& set,
                         const at::Tensor& rows,
                         const at::Tensor& noise,
                         const at::Tensor& drop);

}  // namespace finetune
