#include "rewards/clip/files.hpp"

#include <ATen/ATen.h>

#include <nlohmann/json.hpp>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "data/nn/clip_config.hpp"
#include "data/weights/collect.hpp"
#include "data/weights/safetensors.hpp"
#include "data/weights/weight_files.hpp"
#include "rewards/clip/open.hpp"

namespace fs = std::filesystem;
using nlohmann::json;
using nlohmann::ordered_json;

namespace rewards {
namespace {

// The settings of one tower. "<key>_dict" of old files overrides them.
json section(const json& file, const std::string& key, const std::string& where) {
  json value = file.value(key, json::object());
  const json overriding = file.value(key + "_dict", json());
  if (overriding.is_object() && value.is_object()) value.update(overriding);
  if (!value.is_object())
    throw data::BadInput(where + ": " + key +
                         ": expected an object; is this a CLIPModel's config.json?");
  return value;
}

}  // namespace

ClipConfig parse_clip_config(const fs::path& path) {
  const std::string where = path.string();
  const json file = data::read_json_object(path);
  if (!file.contains("vision_config")) {
    throw data::BadInput(
        where + ": vision_config is missing; expected the config.json of a whole CLIPModel");
  }
  ClipConfig config;
  config.text = nn::parse_clip_text_config(data::to_text(section(file, "text_config", where)),
                                           where + ": text_config");
  const json vision = section(file, "vision_config", where);
  const std::string vision_where = where + ": vision_config";
  config.vision.encoder = nn::parse_encoder_config(vision, config.vision.encoder, vision_where);
  nn::read_integer(vision, "image_size", config.vision.image_size, 1, vision_where);
  nn::read_integer(vision, "patch_size", config.vision.patch_size, 1, vision_where);
  nn::read_integer(file, "projection_dim", config.projection_dim, 1, where);
  return config;
}

namespace {

void read_triple(const json& file,
                 const char* key,
                 std::array<double, 3>& target,
                 const std::string& where) {
  const json value = file.value(key, json());
  if (value.is_null()) return;
  const bool fits = value.is_array() && value.size() == 3 && value[0].is_number() &&
                    value[1].is_number() && value[2].is_number();
  if (!fits)
    throw data::BadInput(where + ": " + key + ": expected three numbers, found " +
                         data::to_text(value));
  target = {value[0].get<double>(), value[1].get<double>(), value[2].get<double>()};
}

}  // namespace

ImageTransform read_clip_transform(const fs::path& path, int64_t size) {
  ImageTransform transform;
  transform.size = size;
  if (!fs::exists(path)) return transform;
  const json file = data::read_json_object(path);
  read_triple(file, "image_mean", transform.mean, path.string());
  read_triple(file, "image_std", transform.std, path.string());
  return transform;
}

namespace {

std::string config_text(const Clip& w, at::ScalarType dtype) {
  ordered_json vision;
  vision["model_type"] = "clip_vision_model";
  nn::write_encoder_config(w.vision.config.encoder, vision);
  vision["image_size"] = w.vision.config.image_size;
  vision["patch_size"] = w.vision.config.patch_size;
  vision["num_channels"] = w.vision.config.num_channels;
  vision["projection_dim"] = w.visual_projection.size(0);
  ordered_json file;
  file["architectures"] = {"CLIPModel"};
  file["model_type"] = "clip";
  file["projection_dim"] = w.visual_projection.size(0);
  file["logit_scale_init_value"] = 2.6592;
  file["torch_dtype"] = nn::dtype_name(dtype);
  file["text_config"] = data::parse_ordered_json(nn::clip_text_config_json(w.text.config, dtype));
  file["vision_config"] = vision;
  return data::to_text(file, 2) + "\n";
}

std::string transform_text(const ImageTransform& transform) {
  ordered_json file;
  file["image_processor_type"] = "CLIPImageProcessor";
  file["feature_extractor_type"] = "CLIPFeatureExtractor";
  file["do_convert_rgb"] = true;
  file["do_resize"] = true;
  file["size"] = {{"shortest_edge", transform.size}};
  file["resample"] = 3;  // bicubic
  file["do_center_crop"] = true;
  file["crop_size"] = {{"height", transform.size}, {"width", transform.size}};
  file["do_rescale"] = true;
  file["rescale_factor"] = 1.0 / 255.0;
  file["do_normalize"] = true;
  file["image_mean"] = transform.mean;
  file["image_std"] = transform.std;
  return data::to_text(file, 2) + "\n";
}

}  // namespace

Clip load_clip(const fs::path& folder) { return open_clip_model(folder, {}).clip; }

Clip take_clip(const data::Weights& weights, const ClipConfig& config) {
  const int64_t width = config.vision.encoder.hidden_size,
                side = config.vision.image_size / config.vision.patch_size;
  Clip w;
  w.text = nn::take_clip_text(weights, config.text);
  w.vision.config = config.vision;
  w.vision.class_embedding =
      data::take(weights, "vision_model.embeddings.class_embedding", {width});
  w.vision.patch_embedding =
      nn::take_conv2d(weights, "vision_model.embeddings.patch_embedding", width,
                      config.vision.num_channels, config.vision.patch_size);
  w.vision.position_embedding = data::take(
      weights, "vision_model.embeddings.position_embedding.weight", {1 + side * side, width});
  w.vision.pre_layrnorm = nn::take_norm(weights, "vision_model.pre_layrnorm", width);
  w.vision.encoder = nn::take_encoder(weights, config.vision.encoder, "vision_model.encoder");
  w.vision.post_layernorm = nn::take_norm(weights, "vision_model.post_layernorm", width);
  w.text_projection = data::take(weights, "text_projection.weight",
                                 {config.projection_dim, config.text.encoder.hidden_size});
  w.visual_projection =
      data::take(weights, "visual_projection.weight", {config.projection_dim, width});
  w.logit_scale = data::take(weights, "logit_scale", {});
  return w;
}

void save_clip(const fs::path& folder, const Clip& w, at::ScalarType dtype) {
  data::write_safetensors(folder / "model.safetensors", data::collect(w, "", dtype));
  data::write_file(folder / "config.json", config_text(w, dtype));
  data::write_file(folder / "preprocessor_config.json", transform_text(w.transform));
}

}  // namespace rewards
