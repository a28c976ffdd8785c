#pragma once

// Conditions of `laurel sample` other than prompts: source image, sizes, guidance.

#include <ATen/core/Tensor.h>

#include <string>

#include "diffusion/pipeline/generate.hpp"
#include "tools/cli/options.hpp"

namespace tools {

// Parses "1024x768" or "0,64"; zeros for "". Throws BadInput with --key and the expected form.
struct TwoNumbers {
  int64_t first = 0, second = 0;
};
TwoNumbers two_numbers(const std::string& text, char between, const char* key, const char* form);

struct ConditionConfig {
  std::string image;  // file; "": none
  double image_guidance_scale = 1.5;
  double guidance_rescale = 0;
  std::string original_size, target_size;  // "WIDTHxHEIGHT"; "": the image's own
  std::string crop_top_left;               // "TOP,LEFT"; "": 0,0
};
void declare_conditions(Options& options, ConditionConfig& c);

// SDXL's size conditions. Throws BadInput for a text of another form, and for another model.
diffusion::SizeConditions size_conditions(const ConditionConfig& c,
                                          const diffusion::Pipeline& pipeline);

// The image to edit, [3, H, W]; undefined without --image. Throws BadInput for an editing model
// without an image, and for another model with one.
at::Tensor source_image(const ConditionConfig& c, const diffusion::Pipeline& pipeline);
// Reads a file of initial noise: its only tensor, or "latents". -> [N, channels, h, w] fp32
at::Tensor read_latents(const std::string& path, int64_t channels);

// The largest multiple of the VAE's factor up to `pixels`, at least one factor.
int64_t fitted_side(int64_t pixels, const diffusion::Pipeline& pipeline);
// `image` resized; undefined for an undefined image.
at::Tensor fitted_image(const at::Tensor& image, int64_t height, int64_t width);

// The entries about these conditions in the images' generation parameters, by
// stable-diffusion-webui's names.
std::vector<std::pair<std::string, std::string>> condition_parameters(
    const ConditionConfig& c, const diffusion::Pipeline& pipeline);

}  // namespace tools
