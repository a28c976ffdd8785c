#include "diffusion/lora/read.hpp"

#include <ATen/ATen.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "data/base/error.hpp"
#include "data/base/json.hpp"
#include "data/base/shape.hpp"
#include "data/weights/weight_files.hpp"
#include "diffusion/families/families.hpp"
#include "diffusion/lora/fused.hpp"

namespace diffusion {
namespace {

namespace fs = std::filesystem;
using data::BadInput;
using nlohmann::json;

constexpr std::string_view kBundle = "bundle_emb.";

// What diffusers' lora_adapter_metadata, or PEFT's adapter_config.json, say of one part.
struct PartSettings {
  std::optional<double> alpha;
  std::map<std::string, double> alpha_pattern;
  bool rslora = false;  // scale = alpha / sqrt(rank)
};

PartSettings part_settings(const json& object, const std::string& prefix) {
  PartSettings settings;
  const auto number = [&](const std::string& key) -> std::optional<double> {
    const auto found = object.find(prefix + key);
    if (found == object.end() || !found->is_number()) return {};
    return found->get<double>();
  };
  settings.alpha = number("lora_alpha");
  const auto pattern = object.find(prefix + "alpha_pattern");
  if (pattern != object.end() && pattern->is_object()) {
    for (const auto& [module, alpha] : pattern->items()) {
      if (alpha.is_number()) settings.alpha_pattern[module] = alpha.get<double>();
    }
  }
  const auto rslora = object.find(prefix + "use_rslora");
  settings.rslora = rslora != object.end() && rslora->is_boolean() && rslora->get<bool>();
  return settings;
}

std::map<std::string, PartSettings> settings_of(const data::Weights& file) {
  std::map<std::string, PartSettings> settings;
  const auto found = file.metadata.find("lora_adapter_metadata");
  if (found != file.metadata.end()) {
    const json object = data::parse_json_object(found->second, file.source + ": its metadata");
    for (const char* part : {kUnetPart, kTransformerPart, kTextPart, kText2Part})
      settings[part] = part_settings(object, std::string(part) + ".");
  }
  const fs::path beside = fs::path(file.source).parent_path() / "adapter_config.json";
  if (fs::path(file.source).stem() == "adapter_model" && fs::exists(beside)) {
    const PartSettings all = part_settings(data::read_json_object(beside), "");
    for (const char* part : {kUnetPart, kTransformerPart, kTextPart, kText2Part})
      settings[part] = all;
  }
  return settings;
}

// PEFT's rule: a pattern fits a whole name or its end at a dot; ^ at its start means the former.
bool pattern_fits(const std::string& pattern, const std::string& module) {
  if (pattern.starts_with('^')) return module == pattern.substr(1);
  return module == pattern || module.ends_with("." + pattern);
}

using Roles = std::map<std::string, at::Tensor>;

std::optional<double> alpha_of(const PartSettings& settings,
                               const std::string& module,
                               const Roles& roles) {
  std::optional<double> alpha = settings.alpha;
  for (const auto& [pattern, value] : settings.alpha_pattern) {
    if (pattern_fits(pattern, module)) alpha = value;
  }
  const auto down = roles.find("down");
  if (alpha && settings.rslora && down != roles.end() && down->second.dim() > 0)
    *alpha *= std::sqrt(static_cast<double>(down->second.size(0)));
  return alpha;
}

// kohya's files name the module without dots, so its name there is the one to show.
struct Gathered {
  std::map<std::string, std::map<std::string, Roles>> parts;
  std::map<std::string, std::string> shown;  // of "part/module": the file's name of a tensor
};

Gathered gather(const data::Weights& file) {
  Gathered all;
  for (const auto& [name, tensor] : file.tensors) {
    if (name.starts_with(kBundle)) continue;
    const LoraName parsed = parse_lora_name(name, file.source);
    auto& roles = all.parts[parsed.part][parsed.module];
    if (!roles.emplace(parsed.role, tensor).second)
      throw BadInput(file.source + ": tensor " + name + ": another names the same layer, " +
                     parsed.module + "; the file mixes two adapters");
    all.shown.emplace(parsed.part + "/" + parsed.module, name);
  }
  return all;
}

// OneTrainer's learnt words beside the LoRA: "bundle_emb.<word>.string_to_param.*".
std::set<std::string> bundled_words(const data::Weights& file) {
  std::set<std::string> words;
  for (const auto& [name, tensor] : file.tensors) {
    if (!name.starts_with(kBundle)) continue;
    const std::string rest = name.substr(kBundle.size());
    words.insert(rest.substr(0, rest.find('.')));
  }
  return words;
}

// The file itself, or of a folder the one that PEFT's or diffusers' saving leaves there.
fs::path file_of(const fs::path& place) {
  if (!fs::is_directory(place)) return place;
  constexpr const char* kNames[] = {"adapter_model.safetensors", "adapter_model.bin",
                                    "pytorch_lora_weights.safetensors", "pytorch_lora_weights.bin"};
  for (const char* name : kNames) {
    if (fs::is_regular_file(place / name)) return place / name;
  }
  throw BadInput(place.string() +
                 ": expected a LoRA, found a folder without adapter_model.safetensors (PEFT's) or "
                 "pytorch_lora_weights.safetensors (diffusers'); name the file");
}

// Of a LoRA's changes of a transformer.
std::string transformer_family(const std::map<std::string, LoraChange>& modules) {
  int64_t width = 0;  // of the stream that a query's layer reads
  for (const auto& [module, change] : modules) {
    if (module.ends_with("attn.to_q")) width = flat_size(change_shape(change)).second;
  }
  const auto has_module = [&](const std::string& start) {
    const auto found = modules.lower_bound(start);
    return found != modules.end() && found->first.starts_with(start);
  };
  return family_of_transformer(has_module, width).name;
}

std::string shown_list(const std::set<std::string>& words) {
  std::string text;
  for (const auto& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

}  // namespace

LoraWeights read_lora(const fs::path& path) {
  const data::Weights file = data::read_weights_file(file_of(path));
  if (file.tensors.empty()) throw BadInput(file.source + ": expected a LoRA, found no tensor");
  LoraWeights lora;
  lora.source = file.source;
  lora.metadata = file.metadata;
  lora.bundled_words = shown_list(bundled_words(file));
  const auto settings = settings_of(file);
  for (const auto& [part, modules] : gather(file).parts) {
    const auto known = settings.find(part);
    for (const auto& [module, roles] : modules) {
      const auto alpha =
          known == settings.end() ? std::nullopt : alpha_of(known->second, module, roles);
      const std::string where = file.source + ": " + part + "." + module;
      const LoraChange change = make_change(roles, alpha, where);
      if (!alpha && !roles.contains("alpha") && change_rank(change) > 0) ++lora.without_alpha;
      if (part != kTransformerPart) {
        lora.parts[part].emplace(module, change);
        continue;
      }
      for (const auto& [layer, own] : diffusers_changes(module, change, where)) {
        if (!lora.parts[part].emplace(layer, own).second)
          throw BadInput(where + ": another tensor names the same layer, " + layer +
                         "; the file mixes two adapters");
      }
    }
  }
  return lora;
}

int64_t count_changes(const LoraWeights& lora) {
  int64_t count = 0;
  for (const auto& [part, modules] : lora.parts) count += static_cast<int64_t>(modules.size());
  return count;
}

std::string family_text(int64_t context_width) {
  const ModelFamily* family = family_of_width(context_width);
  return family ? family->name : "a UNet whose text is " + std::to_string(context_width) + " wide";
}

std::string network_family(const std::string& network_class, int64_t context_width) {
  for (const auto& family : model_families()) {
    if (family.network_part == std::string(kTransformerPart) &&
        family.network_class == network_class)
      return family.name;
  }
  return family_text(context_width);
}

std::string lora_family(const LoraWeights& lora) {
  const auto unet = lora.parts.find(kUnetPart);
  if (unet != lora.parts.end()) {
    for (const auto& [module, change] : unet->second) {
      const auto shape = change_shape(change);
      if (module.ends_with("attn2.to_k") && shape.size() >= 2) return family_text(shape[1]);
    }
  }
  const auto transformer = lora.parts.find(kTransformerPart);
  if (transformer != lora.parts.end()) return transformer_family(transformer->second);
  for (const auto& family : model_families()) {
    const auto& encoders = family.text_encoders;
    if (encoders.size() > 1 && lora.parts.contains(encoders.back().part)) return family.name;
  }
  return "";
}

std::string lora_summary(const LoraWeights& lora) {
  std::set<std::string> kinds, ranks, parts;
  for (const auto& [part, modules] : lora.parts) {
    parts.insert(part);
    for (const auto& [module, change] : modules) {
      kinds.insert(change_name(change));
      if (change_rank(change) > 0) ranks.insert(std::to_string(change_rank(change)));
    }
  }
  const std::string family = lora_family(lora);
  return fs::path(lora.source).filename().string() + ": " + shown_list(kinds) +
         (ranks.empty() ? "" : ", rank " + shown_list(ranks)) +
         (family.empty() ? "" : ", for " + family) + ", " + std::to_string(count_changes(lora)) +
         " layers of " + shown_list(parts) +
         (lora.without_alpha > 0
              ? "; " + std::to_string(lora.without_alpha) + " without an alpha: their rank is used"
              : "") +
         (lora.bundled_words.empty() ? ""
                                     : "; it also holds the learnt words " + lora.bundled_words +
                                           ": give them with --embedding NAME=" + lora.source);
}

}  // namespace diffusion
