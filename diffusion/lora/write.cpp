#include "diffusion/lora/write.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "data/base/error.hpp"
#include "data/base/json.hpp"
#include "data/images/generation_parameters.hpp"
#include "data/weights/safetensors.hpp"
#include "diffusion/checkpoints/model_spec.hpp"
#include "diffusion/families/families.hpp"
#include "diffusion/lora/fused.hpp"
#include "diffusion/naming/transformer_names.hpp"
#include "diffusion/networks/network_files.hpp"

namespace diffusion {
namespace {

namespace fs = std::filesystem;
using data::BadInput;

// A file's name of a module, without the ends of its tensors.
std::string written_name(const std::string& part, const std::string& module, LoraFormat format) {
  const bool text = !is_network_part(part);
  const std::string full = (text && module != "text_projection" ? "text_model." : "") + module;
  if (format == LoraFormat::kPeft) return part + "." + full;
  std::string flat = full;
  std::replace(flat.begin(), flat.end(), '.', '_');
  const bool original = part == kTransformerPart && !transformer_rows(module, 0).names.empty();
  if (original) return "lora_unet_" + flat;
  // OneTrainer's names of Stable Diffusion 3's layers, which its fused ones have no place for.
  return (!text ? "lora_" + part + "_" : part == kText2Part ? "lora_te2_" : "lora_te_") + flat;
}

const LowRank& low_rank_of(const LoraWeights& lora,
                           const std::string& module,
                           const LoraChange& change) {
  const auto* pair = std::get_if<LowRank>(&change.form);
  if (pair) return *pair;
  throw BadInput(lora.source + ": layer " + module + " is a " + change_name(change) +
                 ", which has no form in a LoRA file; give --rank to approximate it");
}

// The values that the layers of a part, or of all, have in common; more than one where they differ.
struct Common {
  std::set<int64_t> ranks;
  std::set<double> alphas;
};
void collect(const std::map<std::string, LoraChange>& modules, Common& common) {
  for (const auto& [module, change] : modules) {
    const int64_t rank = change_rank(change);
    common.ranks.insert(rank);
    common.alphas.insert(change.scale * static_cast<double>(rank));
  }
}
Common common_of(const LoraWeights& lora) {
  Common common;
  for (const auto& [part, modules] : lora.parts) collect(modules, common);
  return common;
}

// The alpha of every layer in kohya's form. Where they differ, the scales go into the upper
// factors: diffusers takes the alphas of a file with several for the wrong layers.
double one_alpha(const Common& common) {
  return common.alphas.size() == 1 ? *common.alphas.begin()
                                   : static_cast<double>(*common.ranks.rbegin());
}

// Adds one part's entries of lora_adapter_metadata; false where one rank and alpha do not do.
bool add_adapter_metadata(const std::string& part,
                          const std::map<std::string, LoraChange>& modules,
                          nlohmann::json& metadata) {
  Common common;
  collect(modules, common);
  if (common.ranks.size() != 1 || common.alphas.size() != 1) return false;
  std::vector<std::string> targets;
  for (const auto& [module, change] : modules) targets.push_back(module);
  metadata[part + ".r"] = *common.ranks.begin();
  metadata[part + ".lora_alpha"] = *common.alphas.begin();
  metadata[part + ".target_modules"] = targets;
  metadata[part + ".init_lora_weights"] = true;
  metadata[part + ".bias"] = "none";
  return true;
}

// Stable Diffusion 1 where it does not show.
const ModelFamily& written_family(const LoraWeights& lora) {
  const ModelFamily* family = family_of_name(lora_family(lora));
  return family && family->supported ? *family : family_of_network(0, false, false);
}

// As kohya's tools write it: a number, or Dynamic where the layers differ.
template <class Value>
std::string common_text(const std::set<Value>& values) {
  return values.size() == 1 ? data::short_number(static_cast<double>(*values.begin())) : "Dynamic";
}

// The upper factor is multiplied by `scale`; kohya's form gets the alpha.
void add_pair(data::Weights& file,
              const std::string& name,
              const LowRank& pair,
              double scale,
              std::optional<double> alpha,
              at::ScalarType dtype) {
  const auto put = [&](const std::string& end, const at::Tensor& tensor) {
    file.tensors[name + end] = tensor.detach().to(at::kCPU, dtype);
  };
  put(alpha ? ".lora_down.weight" : ".lora_A.weight", pair.down);
  put(alpha ? ".lora_up.weight" : ".lora_B.weight", scale * pair.up.detach());
  if (alpha) file.tensors[name + ".alpha"] = at::full({}, *alpha, at::kFloat);
}

// kohya's trainer of FLUX changes the original code's layers.
LoraWeights with_original_modules(const LoraWeights& lora) {
  LoraWeights written = lora;
  const auto transformer = written.parts.find(kTransformerPart);
  if (transformer == written.parts.end() || !written_family(lora).kohya_original) return written;
  for (const auto& [module, change] : transformer->second) low_rank_of(lora, module, change);
  transformer->second = original_changes(transformer->second);
  return written;
}

}  // namespace

LoraWeights adapters_of(Network& network) {
  LoraWeights lora;
  lora.source = "the network";
  const std::string part = kind_of(network).part;
  for_each_lora_site(network, [&](const LoraSite& site) {
    if (!site.lora.down.defined()) return;
    lora.parts[part][site.name] = {LowRank{site.lora.down, site.lora.up}, site.lora.scale};
  });
  TORCH_CHECK(!lora.parts.empty(), "adapters_of: the network carries no adapter");
  return lora;
}

void write_lora(const fs::path& path,
                const LoraWeights& given,
                LoraFormat format,
                at::ScalarType dtype,
                const std::map<std::string, std::string>& metadata) {
  TORCH_CHECK(count_changes(given) > 0, "write_lora: no adapter");
  const LoraWeights lora = format == LoraFormat::kKohya ? with_original_modules(given) : given;
  data::Weights file;
  file.metadata = metadata;
  file.metadata["format"] = "pt";
  auto adapter = nlohmann::json::object();
  bool uniform = true;
  for (const auto& [part, modules] : lora.parts)
    uniform = uniform && add_adapter_metadata(part, modules, adapter);
  if (format == LoraFormat::kPeft && uniform)
    file.metadata["lora_adapter_metadata"] = data::to_text(adapter);
  const Common common = common_of(lora);
  std::optional<double> alpha;
  if (format == LoraFormat::kKohya) alpha = one_alpha(common);
  for (const auto& [part, modules] : lora.parts) {
    for (const auto& [module, change] : modules) {
      // PEFT's scale is the metadata's; 1 without.
      const bool kept = alpha ? common.alphas.size() == 1 : uniform;
      const double written = alpha ? *alpha / static_cast<double>(change_rank(change)) : 1.0;
      add_pair(file, written_name(part, module, format), low_rank_of(lora, module, change),
               kept ? 1.0 : change.scale / written, alpha, dtype);
    }
  }
  if (format == LoraFormat::kKohya) file.metadata["sshs_model_hash"] = tensors_sha256(file);
  add_tensors_hash(file);
  data::write_safetensors(path, file);
}

std::map<std::string, std::string> merged_metadata(const LoraWeights& lora,
                                                   const std::string& title,
                                                   const std::string& comment) {
  const Common common = common_of(lora);
  const ModelFamily& family = written_family(lora);
  auto metadata = model_spec_metadata({.architecture = family.architecture, .title = title});
  metadata.merge(std::map<std::string, std::string>{
      {"ss_network_module", "networks.lora"},
      {"ss_network_dim", common_text(common.ranks)},
      {"ss_network_alpha", data::short_number(one_alpha(common))},
      {"ss_base_model_version", family.kohya_version},
      {"ss_output_name", title},
      {"ss_training_comment", comment}});
  return metadata;
}

std::map<std::string, std::string> kohya_metadata(const LoraWeights& lora, const LoraCard& card) {
  const std::string resolution =
      std::to_string(card.resolution) + "x" + std::to_string(card.resolution);
  auto metadata = merged_metadata(lora, card.title, card.comment);
  metadata.merge(std::map<std::string, std::string>{
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
      {"ss_training_finished_at", std::to_string(card.finished)}});
  metadata.merge(model_spec_metadata({.prediction_type = card.prediction_type,
                                      .resolution = card.resolution,
                                      .finished = card.finished}));
  for (const auto& [key, value] : card.more) metadata[key] = value;
  return metadata;
}

}  // namespace diffusion
