#pragma once

// What conditions the images of `laurel sample` beside prompts: a source image, sizes, the ways of
// guidance.

#include <ATen/core/Tensor.h>

#include <string>

#include "diffusion/pipeline/generate.hpp"
#include "tools/cli/options.hpp"

namespace tools {

// "1024x768", "0,64"; zeros for "". Throws BadInput naming --key and the form.
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

// SDXL's sizes. Throws BadInput for a text of another form, or when the model reads none.
diffusion::SizeConditions size_conditions(const ConditionConfig& c,
                                          const diffusion::Pipeline& pipeline);

// The image to edit, [3, H, W]; undefined without --image. Throws BadInput when an editing model
// has none, and when another model has one.
at::Tensor source_image(const ConditionConfig& c, const diffusion::Pipeline& pipeline);
// A file of initial noise: its only tensor, or "latents". -> [N, channels, h, w] fp32
at::Tensor read_latents(const std::string& path, int64_t channels);

// The largest multiple of the VAE's factor that is in `pixels`, at least one.
int64_t fitted_side(int64_t pixels, const diffusion::Pipeline& pipeline);
// `image` at that size; undefined stays so.
at::Tensor fitted_image(const at::Tensor& image, int64_t height, int64_t width);

// What the pictures' parameters say of all this, as stable-diffusion-webui names it.
std::vector<std::pair<std::string, std::string>> condition_notes(
    const ConditionConfig& c, const diffusion::Pipeline& pipeline);

}  // namespace tools
