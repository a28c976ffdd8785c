#include "rewards/clip/open.hpp"

#include <ATen/ATen.h>

#include <nlohmann/json.hpp>
#include <set>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "data/base/shape.hpp"
#include "data/nn/clip_config.hpp"
#include "data/weights/weight_files.hpp"
#include "rewards/clip/files.hpp"
#include "rewards/clip/layouts.hpp"

namespace fs = std::filesystem;
using nlohmann::json;

namespace rewards {
namespace {

// The weights that OpenCLIP would read from a folder.
fs::path weights_of_folder(const fs::path& folder) {
  for (const char* name : {"open_clip_model.safetensors", "open_clip_pytorch_model.safetensors",
                           "open_clip_pytorch_model.bin", "open_clip_pytorch_model.pth",
                           "model.safetensors", "pytorch_model.bin"}) {
    if (fs::exists(folder / name)) return folder / name;
  }
  throw data::BadInput(folder.string() +
                       ": expected open_clip_model.safetensors or model.safetensors, found no "
                       "weights; the download may be incomplete");
}

void read_tower(const json& file, nn::EncoderConfig& config, const std::string& where) {
  nn::read_integer(file, "width", config.hidden_size, 1, where);
  nn::read_integer(file, "layers", config.num_hidden_layers, 1, where);
  int64_t head_width = 64;
  nn::read_integer(file, "head_width", head_width, 1, where);
  config.num_attention_heads = config.hidden_size / head_width;
  nn::read_integer(file, "heads", config.num_attention_heads, 1, where);
  if (config.num_attention_heads < 1 || config.hidden_size % config.num_attention_heads)
    throw data::BadInput(where + ": heads: expected a divisor of width " +
                         std::to_string(config.hidden_size));
}

struct OpenClipFile {
  ClipConfig config;
  ImageTransform transform;
};

// open_clip_config.json: only what the weights' shapes do not determine is read.
OpenClipFile read_open_clip_config(const fs::path& path, const NamedClip& clip) {
  const json file = data::read_json_object(path);
  const std::string where = path.string();
  const json model = file.value("model_cfg", json());
  if (!model.is_object() || !model.contains("vision_cfg") || !model.contains("text_cfg"))
    throw data::BadInput(where + ": model_cfg: expected vision_cfg and text_cfg, found none");
  const bool quick = model.value("quick_gelu", json(false)) == json(true);
  OpenClipFile result{
      .config = infer_clip_config(clip, quick ? nn::Activation::kQuickGelu : nn::Activation::kGelu),
      .transform = {}};
  read_tower(model["vision_cfg"], result.config.vision.encoder, where + ": vision_cfg");
  read_tower(model["text_cfg"], result.config.text.encoder, where + ": text_cfg");
  const json preprocess = file.value("preprocess_cfg", json::object());
  for (const auto& [key, target] :
       {std::pair{"mean", &result.transform.mean}, std::pair{"std", &result.transform.std}}) {
    const json values = preprocess.value(key, json());
    if (values.is_null()) continue;
    if (!values.is_array() || values.size() != 3 || !values[0].is_number())
      throw data::BadInput(where + ": preprocess_cfg: " + key + ": expected three numbers");
    *target = values.get<std::array<double, 3>>();
  }
  if (preprocess.value("resize_mode", json("shortest")) == json("longest"))
    result.transform.fit = Fit::kLetterbox;
  return result;
}

// A Clip with empty tensors: its names are those that a file must hold.
Clip skeleton(const ClipConfig& config) {
  const at::Tensor none = at::empty({0});
  const auto tower = [&](int64_t layers) {
    const nn::Norm norm{none, none};
    const nn::Linear linear{none, none, {}};
    const nn::EncoderLayer layer{norm, norm, linear, linear, linear, linear, linear, linear};
    return nn::Encoder{std::vector<nn::EncoderLayer>(static_cast<size_t>(layers), layer)};
  };
  Clip w;
  w.text.token_embedding = w.text.position_embedding = none;
  w.text.encoder = tower(config.text.encoder.num_hidden_layers);
  w.text.final_layer_norm = {none, none};
  w.vision.class_embedding = w.vision.position_embedding = none;
  w.vision.patch_embedding.weight = none;
  w.vision.pre_layrnorm = w.vision.post_layernorm = {none, none};
  w.vision.encoder = tower(config.vision.encoder.num_hidden_layers);
  w.text_projection = w.visual_projection = w.logit_scale = none;
  return w;
}

// Traces each tensor. Throws when a tensor of the towers is missing. -> the number of unused
// tensors
int64_t check_names(const NamedClip& clip, const ClipConfig& config, const ClipOpening& opening) {
  std::set<std::string> needed;
  Clip names = skeleton(config);
  for_each_tensor(names, "", [&](const std::string& name, at::Tensor&) { needed.insert(name); });
  std::string first;
  int64_t missing = 0, unexpected = 0;
  const auto say = [&](const std::string& line) {
    if (opening.trace) opening.trace(line);
  };
  for (const auto& name : needed) {
    const auto found = clip.weights.tensors.find(name);
    if (found != clip.weights.tensors.end()) {
      say("mapped      " + name + " " + data::shape_text(found->second.sizes()));
    } else {
      say("missing     " + name);
      if (missing++ == 0) first = name;
    }
  }
  for (const auto& [name, tensor] : clip.weights.tensors) {
    if (needed.contains(name)) continue;
    say("unexpected  " + name + " " + data::shape_text(tensor.sizes()));
    ++unexpected;
  }
  if (missing)
    throw data::BadInput(
        clip.weights.source + ": " + name_of(clip.layout) + " layout: " + std::to_string(missing) +
        " tensors are missing (the first: " + first + "), " + std::to_string(unexpected) +
        " are unexpected; `laurel score --dry-run` lists them all");
  return unexpected;
}

nn::Activation activation_of(const NamedClip& clip, const ClipOpening& opening) {
  if (opening.act) return *opening.act;
  if (clip.from_openai) return nn::Activation::kQuickGelu;
  throw data::BadInput(clip.weights.source +
                       ": its activation stands in no config beside it and cannot be seen from the "
                       "weights; add ;act=quick_gelu (OpenAI's) or ;act=gelu (LAION's)");
}

std::string describe(const NamedClip& clip, const ClipConfig& config, int64_t unexpected) {
  const auto& vision = config.vision.encoder;
  std::string text =
      std::string(name_of(clip.layout)) + " layout, ViT " + std::to_string(vision.hidden_size) +
      "x" + std::to_string(vision.num_hidden_layers) + "/" +
      std::to_string(config.vision.patch_size) + " of " +
      std::to_string(vision.num_attention_heads) + " heads, " + nn::name_of(vision.hidden_act);
  if (unexpected) text += ", " + std::to_string(unexpected) + " tensors passed over";
  return text;
}

}  // namespace

OpenedClip open_clip_model(const fs::path& path, const ClipOpening& opening) {
  if (!fs::exists(path))
    throw data::BadInput(path.string() +
                         ": expected a CLIP (a folder or a file), found nothing; "
                         "check the path");
  const bool folder = fs::is_directory(path);
  OpenedClip opened{.clip = {}, .description = "", .folder = folder ? path : path.parent_path()};
  const fs::path open_config = opened.folder / "open_clip_config.json";
  const bool open_clip = fs::exists(open_config), hugging_face = folder && !open_clip;
  const data::Weights weights = hugging_face ? data::read_weights(path, "model")
                                : folder     ? data::read_weights_file(weights_of_folder(path))
                                             : data::read_weights_file(path);
  const NamedClip clip = rename_clip(weights);
  ClipConfig config;
  ImageTransform transform;
  if (hugging_face) {
    config = parse_clip_config(path / "config.json");
    transform = read_clip_transform(path / "preprocessor_config.json", config.vision.image_size);
  } else if (open_clip) {
    const OpenClipFile file = read_open_clip_config(open_config, clip);
    config = file.config;
    transform = file.transform;
    if (transform.fit != Fit::kLetterbox) transform.fit = Fit::kTorchvision;
  } else {
    config = infer_clip_config(clip, activation_of(clip, opening));
    transform.fit = Fit::kTorchvision;
  }
  if (opening.act) config.vision.encoder.hidden_act = config.text.encoder.hidden_act = *opening.act;
  const int64_t unexpected = check_names(clip, config, opening);
  opened.clip = take_clip(clip.weights, config);
  opened.clip.transform = transform;
  opened.clip.transform.size = config.vision.image_size;
  opened.description = describe(clip, config, unexpected);
  return opened;
}

}  // namespace rewards
