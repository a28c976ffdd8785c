#pragma once

// Trains the latent autoencoder from nothing: squared error of pixels plus a small KL term.

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <filesystem>
#include <functional>
#include <string>

#include "data/train/training_loop.hpp"
#include "diffusion/networks/vae/vae.hpp"

namespace finetune {

// Where training images come from: the built-in world or a folder.
struct ImageSource {
  std::string name;  // for the model card
  std::function<at::Tensor(int64_t count, at::Generator& generator)>
      draw;             // -> [count, 3, R, R] in [0, 1]
  at::Tensor held_out;  // [N, 3, R, R] in [0, 1], never drawn
};

struct PretrainVaeOptions {
  train::LoopOptions loop{.train_batch_size = 8,  // whole images
                          .max_train_steps = 3000,
                          .learning_rate = 5e-3,
                          .weight_decay = 0.0};
  diffusion::VaeConfig model;

  // Threads, each with its part of a batch; part of what makes a run repeatable.
  int64_t num_workers = 2;
  // Below crop_until (fraction of the training): random squares of crop_size pixels, as many as
  // hold the pixels of a batch of whole images.
  int64_t crop_size = 32;
  double crop_until = 0.0;

  std::string optimizer = "muon";  // muon | adamw
  double lr_decay_from = 0.65;  // fraction of the training; from there down to 0 in a straight line
  double kl_weight = 3e-3;      // on the KL in nats of a whole image, per pixel value of it
  double l1_weight = 0.0;       // on the mean absolute error, beside the mean squared one
};

struct VaeLosses {
  at::Tensor total;  // [] what is minimised
  at::Tensor mse;    // [] on pixels in [-1, 1]
  at::Tensor kl;     // [] nats, mean over images of the sum over a latent
};
// images: [B, 3, H, W] in [0, 1]; noise: [B, latent_channels, H / f, W / f], standard normal
VaeLosses vae_losses(const diffusion::Vae& vae,
                     const at::Tensor& images,
                     const at::Tensor& noise,
                     const PretrainVaeOptions& options);

struct Reconstruction {
  at::Tensor images;       // [N, 3, H, W] in [0, 1]
  double psnr = 0;         // dB, mean over images of 10 log10(1 / mse), pixels in [0, 1]
  double pooled_psnr = 0;  // dB, of the mean of all images' mse
  double latent_std = 0;   // of the raw latents' means, over everything
};
// Encodes to the mean and decodes, in batches. images: [N, 3, H, W] in [0, 1].
Reconstruction reconstruct(const diffusion::Vae& vae, const at::Tensor& images);

struct PretrainVaeResult {
  diffusion::Vae vae;  // the moving average's weights, scaling_factor measured on held-out images
  int64_t steps = 0;
  double minutes = 0;  // of training, all sittings together
  double psnr = 0;     // dB, on held-out images
};
// Writes output_dir/{metrics.jsonl, state.safetensors, vae/}, and output_dir/snapshot/ at each
// validation. `print` gets a line of progress at each log interval. Without a time limit a resumed
// run equals an uninterrupted one bit for bit.
PretrainVaeResult pretrain_vae(const PretrainVaeOptions& options,
                               const ImageSource& source,
                               const std::function<void(const std::string&)>& print);

}  // namespace finetune
