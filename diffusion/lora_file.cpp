#include "diffusion/lora_file.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <ctime>
#include <nlohmann/json.hpp>
#include <set>

#include "data/error.hpp"
#include "data/json.hpp"
#include "data/safetensors.hpp"
#include "data/shape.hpp"

namespace diffusion {
namespace {

namespace fs = std::filesystem;
using data::BadInput;

struct Names {  // of one module's tensors in a file
  std::string down, up, alpha;
};

Names names_of(const std::string& module, LoraFormat format) {
  if (format == LoraFormat::kPeft) {
    return {"unet." + module + ".lora_A.weight", "unet." + module + ".lora_B.weight",
            "unet." + module + ".alpha"};
  }
  std::string flat = "lora_unet_" + module;
  std::replace(flat.begin(), flat.end(), '.', '_');
  return {flat + ".lora_down.weight", flat + ".lora_up.weight", flat + ".alpha"};
}

struct Shape {  // what the adapters of a network have in common
  int64_t rank = 0;
  double alpha = 0;
  std::set<std::string> targets;  // module names, after the last transformer's or resnet's number
};
Shape shape_of(UNet& unet) {
  Shape shape;
  for_each_lora_site(unet, [&](const LoraSite& site) {
    if (!site.lora.down.defined()) return;
    shape.rank = site.lora.down.size(0);
    shape.alpha = site.lora.scale * static_cast<double>(shape.rank);
    const size_t dot = site.name.rfind('.');
    const bool numbered =
        dot != std::string::npos && std::isdigit(static_cast<unsigned char>(site.name[dot + 1]));
    const size_t start =
        numbered ? site.name.rfind('.', dot - 1) : dot;  // "to_out.0" keeps its number
    shape.targets.insert(start == std::string::npos ? site.name : site.name.substr(start + 1));
  });
  TORCH_CHECK(shape.rank > 0, "write_lora: the UNet carries no adapter");
  return shape;
}

std::string adapter_metadata(const Shape& shape) {
  return data::to_text(nlohmann::json{{"unet.r", shape.rank},
                                      {"unet.lora_alpha", shape.alpha},
                                      {"unet.target_modules", shape.targets},
                                      {"unet.init_lora_weights", true},
                                      {"unet.bias", "none"}});
}

// alpha of diffusers' lora_adapter_metadata; 0 where there is none.
double alpha_of_metadata(const data::Weights& file) {
  const auto found = file.metadata.find("lora_adapter_metadata");
  if (found == file.metadata.end()) return 0;
  const auto json = data::parse_json(found->second);
  return json.is_object() && json.contains("unet.lora_alpha")
             ? json["unet.lora_alpha"].get<double>()
             : 0;
}

nn::Lora take_lora(const data::Weights& file,
                   const Names& names,
                   const LoraSite& site,
                   double default_alpha) {
  std::vector<int64_t> down = site.weight.sizes().vec();
  nn::Lora lora;
  if (site.weight.dim() == 2) {
    lora.down = data::take(file, names.down, {-1, down[1]});
    lora.up = data::take(file, names.up, {site.weight.size(0), lora.down.size(0)});
  } else {
    lora.down = data::take(file, names.down, {-1, down[1], down[2], down[3]});
    lora.up = data::take(file, names.up, {site.weight.size(0), lora.down.size(0), 1, 1});
  }
  const double rank = static_cast<double>(lora.down.size(0));
  const double alpha = data::has(file, names.alpha)
                           ? data::take(file, names.alpha, {}).item<double>()
                       : default_alpha > 0 ? default_alpha
                                           : rank;
  lora.scale = alpha / rank;
  return lora;
}

LoraFormat format_of(const data::Weights& file) {
  for (const auto& [name, tensor] : file.tensors) {
    if (name.starts_with("unet.") && name.find(".lora_A.") != std::string::npos)
      return LoraFormat::kPeft;
    if (name.starts_with("lora_unet_")) return LoraFormat::kKohya;
  }
  throw BadInput(file.source +
                 ": expected a LoRA of a UNet (unet.<module>.lora_A.weight or "
                 "lora_unet_<module>.lora_down.weight), found " +
                 (file.tensors.empty() ? "no tensor" : file.tensors.begin()->first));
}

bool of_text_encoder(const std::string& name) {
  return name.starts_with("text_encoder") || name.starts_with("lora_te");
}

std::string date_text(double seconds) {
  const auto time = static_cast<std::time_t>(seconds);
  std::tm parts{};
  gmtime_r(&time, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
  return text;
}

}  // namespace

void write_lora(const fs::path& path,
                UNet& unet,
                LoraFormat format,
                at::ScalarType dtype,
                const std::map<std::string, std::string>& metadata) {
  data::Weights file;
  file.metadata = metadata;
  file.metadata["format"] = "pt";
  const Shape shape = shape_of(unet);
  if (format == LoraFormat::kPeft) file.metadata["lora_adapter_metadata"] = adapter_metadata(shape);
  for_each_lora_site(unet, [&](const LoraSite& site) {
    if (!site.lora.down.defined()) return;
    const Names names = names_of(site.name, format);
    file.tensors[names.down] = site.lora.down.detach().to(at::kCPU, dtype);
    file.tensors[names.up] = site.lora.up.detach().to(at::kCPU, dtype);
    if (format == LoraFormat::kKohya)
      file.tensors[names.alpha] = at::full({}, shape.alpha, at::kFloat).to(dtype);
  });
  data::write_safetensors(path, file);
}

LoadedLora load_lora(const fs::path& path, UNet& unet, double strength) {
  const data::Weights file = data::read_safetensors(path);
  const LoraFormat format = format_of(file);
  const double alpha = alpha_of_metadata(file);
  std::set<std::string> used;
  std::vector<std::string> known;
  LoadedLora result;
  for_each_lora_site(unet, [&](const LoraSite& site) {
    const Names names = names_of(site.name, format);
    known.push_back(names.down);
    site.lora = nn::Lora{};
    if (!data::has(file, names.down) && !data::has(file, names.up)) return;
    site.lora = take_lora(file, names, site, alpha);
    site.lora.scale *= strength;
    used.insert({names.down, names.up, names.alpha});
    ++result.modules;
  });
  for (const auto& [name, tensor] : file.tensors) {
    if (used.contains(name)) continue;
    if (!of_text_encoder(name)) {
      const std::string near = data::nearest(name, known);
      throw BadInput(file.source + ": tensor " + name + ": the UNet has no such layer" +
                     (near.empty() ? "" : ", the nearest is " + near) +
                     "; the LoRA is of another model");
    }
    ++result.skipped;
  }
  return result;
}

std::map<std::string, std::string> kohya_metadata(UNet& unet, const LoraCard& card) {
  const Shape shape = shape_of(unet);
  const std::string resolution =
      std::to_string(card.resolution) + "x" + std::to_string(card.resolution);
  const bool second = unet.config.cross_attention_dim == 1024;  // SD2's text encoder
  return {{"ss_network_module", "networks.lora"},
          {"ss_network_dim", std::to_string(shape.rank)},
          {"ss_network_alpha", std::to_string(shape.alpha)},
          {"ss_base_model_version", second ? "sd_v2" : "sd_v1"},
          {"ss_sd_model_name", card.base_model},
          {"ss_steps", std::to_string(card.steps)},
          {"ss_num_epochs", std::to_string(card.epochs)},
          {"ss_epoch", std::to_string(card.epochs)},
          {"ss_learning_rate", std::to_string(card.learning_rate)},
          {"ss_unet_lr", std::to_string(card.learning_rate)},
          {"ss_optimizer", "AdamW"},
          {"ss_seed", std::to_string(card.seed)},
          {"ss_resolution", resolution},
          {"ss_mixed_precision", "no"},
          {"ss_training_started_at", std::to_string(card.started)},
          {"ss_training_finished_at", std::to_string(card.finished)},
          {"ss_output_name", card.title},
          {"ss_training_comment", card.comment},
          {"modelspec.sai_model_spec", "1.0.0"},
          {"modelspec.architecture",
           second ? "stable-diffusion-v2-512/lora" : "stable-diffusion-v1/lora"},
          {"modelspec.implementation", "diffusers"},
          {"modelspec.title", card.title},
          {"modelspec.date", date_text(card.finished)},
          {"modelspec.resolution", resolution},
          {"modelspec.prediction_type", card.prediction_type}};
}

}  // namespace diffusion
