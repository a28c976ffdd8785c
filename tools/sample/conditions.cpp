#include "tools/sample/conditions.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <filesystem>
#include <optional>

#include "data/base/error.hpp"
#include "data/base/numbers.hpp"
#include "data/base/shape.hpp"
#include "data/images/generation_parameters.hpp"
#include "data/images/image_io.hpp"
#include "data/weights/safetensors.hpp"

using data::BadInput;

namespace tools {
namespace {

std::optional<int64_t> whole(const std::string& text) {
  const auto value = data::number_of<int64_t>(text);
  return value && *value >= 0 ? value : std::nullopt;
}

}  // namespace

TwoNumbers two_numbers(const std::string& text, char between, const char* key, const char* form) {
  if (text.empty()) return {};
  const size_t place = text.find(between);
  if (place != std::string::npos) {
    const auto first = whole(text.substr(0, place)), second = whole(text.substr(place + 1));
    if (first && second) return {*first, *second};
  }
  throw BadInput("--" + std::string(key) + ": expected " + form + ", found '" + text + "'");
}

void declare_conditions(Options& options, ConditionConfig& c) {
  options.text("image", c.image, "file of the image to edit, for an InstructPix2Pix model");
  options.number("image_guidance_scale", c.image_guidance_scale,
                 "InstructPix2Pix: guidance scale towards --image", 0, 100);
  options.rare().number("guidance_rescale", c.guidance_rescale,
                        "0 to 1: rescales guidance against overexposed v-prediction images", 0, 1);
  options.rare().text("original_size", c.original_size,
                      "SDXL: size WIDTHxHEIGHT before cropping [the image's]");
  options.rare().text("target_size", c.target_size, "SDXL: target size WIDTHxHEIGHT [the image's]");
  options.rare().text("crop_top_left", c.crop_top_left,
                      "SDXL: position of the crop, TOP,LEFT [0,0]");
  options.alias("image_cfg_scale", "image_guidance_scale");
  options.alias("crops_coords_top_left", "crop_top_left");
}

diffusion::SizeConditions size_conditions(const ConditionConfig& c,
                                          const diffusion::Pipeline& pipeline) {
  const TwoNumbers original = two_numbers(c.original_size, 'x', "original_size", "WIDTHxHEIGHT");
  const TwoNumbers target = two_numbers(c.target_size, 'x', "target_size", "WIDTHxHEIGHT");
  const TwoNumbers crop = two_numbers(c.crop_top_left, ',', "crop_top_left", "TOP,LEFT");
  const bool given = !c.original_size.empty() || !c.target_size.empty() || !c.crop_top_left.empty();
  if (given && !diffusion::is_xl(pipeline)) {
    throw BadInput("--original_size, --target_size, --crop_top_left: " + pipeline.class_name +
                   " has no size conditions; omit them, or give an SDXL model");
  }
  return {.original_height = original.second,
          .original_width = original.first,
          .crop_top = crop.first,
          .crop_left = crop.second,
          .target_height = target.second,
          .target_width = target.first};
}

at::Tensor source_image(const ConditionConfig& c, const diffusion::Pipeline& pipeline) {
  const bool edits = diffusion::edits_images(pipeline);
  if (c.image.empty()) {
    if (!edits) return {};
    throw BadInput("--image: " + pipeline.class_name +
                   " edits an image: expected one, found none; give --image FILE");
  }
  if (!edits) {
    throw BadInput("--image: " + pipeline.class_name +
                   " is a text-to-image model; omit --image, or give an InstructPix2Pix model");
  }
  return data::read_image(c.image);
}

at::Tensor read_latents(const std::string& path, int64_t channels) {
  const data::Weights file = data::read_safetensors(path);
  const std::string name = file.tensors.size() == 1 ? file.tensors.begin()->first : "latents";
  if (!data::has(file, name)) throw BadInput(path + ": expected a tensor 'latents', found none");
  const at::Tensor latents = file.tensors.at(name);
  if (latents.dim() != 4 || latents.size(1) != channels || !latents.is_floating_point()) {
    throw BadInput(path + ": " + name + ": expected [images, " + std::to_string(channels) +
                   ", height, width] floating-point noise, found " +
                   data::shape_text(latents.sizes()));
  }
  return latents.to(at::kFloat);
}

int64_t fitted_side(int64_t pixels, const diffusion::Pipeline& pipeline) {
  const int64_t unit = diffusion::pixel_unit(pipeline);
  return std::max<int64_t>(pixels / unit, 1) * unit;
}

at::Tensor fitted_image(const at::Tensor& image, int64_t height, int64_t width) {
  if (!image.defined() || (image.size(1) == height && image.size(2) == width)) return image;
  const bool shrinks = height <= image.size(1) && width <= image.size(2);
  return data::resize(image, height, width,
                      shrinks ? data::ResizeKind::kArea : data::ResizeKind::kBicubic);
}

std::vector<std::pair<std::string, std::string>> condition_parameters(
    const ConditionConfig& c, const diffusion::Pipeline& pipeline) {
  std::vector<std::pair<std::string, std::string>> entries;
  if (diffusion::edits_images(pipeline)) {
    entries.emplace_back("Image CFG scale", data::short_number(c.image_guidance_scale));
    entries.emplace_back("Image", std::filesystem::path(c.image).filename().string());
  }
  if (c.guidance_rescale > 0)
    entries.emplace_back("CFG rescale", data::short_number(c.guidance_rescale));
  for (const auto& [name, value] :
       {std::pair{"Original size", &c.original_size}, std::pair{"Target size", &c.target_size},
        std::pair{"Crop top left", &c.crop_top_left}}) {
    if (!value->empty()) entries.emplace_back(name, *value);
  }
  return entries;
}

}  // namespace tools
