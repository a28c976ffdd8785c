#include "diffusion/lora/apply.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "data/base/error.hpp"
#include "data/base/shape.hpp"
#include "diffusion/lora/adapters.hpp"
#include "diffusion/networks/network_files.hpp"

namespace diffusion {
namespace {

using data::BadInput;

// What is added to one weight.
struct Term {
  const LoraChange* change;
  double weight;
};
using Plan = std::map<at::Tensor*, std::vector<Term>>;

std::string fit_text(const LoraWeights& lora, const LoraTarget& target) {
  const std::string family = lora_family(lora);
  if (family.empty()) return "; the LoRA is of another model";
  if (target.family.empty() || family == target.family) return "; the LoRA is for " + family;
  return "; the LoRA is for " + family + ", the model is " + target.family;
}

[[noreturn]] void throw_absent(const LoraWeights& lora,
                               const std::string& part,
                               const std::string& module,
                               const LoraTarget& target) {
  std::vector<std::string> names;
  const auto sites = target.parts.find(part);
  if (sites != target.parts.end())
    for (const auto& [name, weight] : sites->second) names.push_back(name);
  const std::string near = data::nearest(module, names);
  const std::string shape = data::shape_text(change_shape(lora.parts.at(part).at(module)));
  throw BadInput(lora.source + ": layer " + part + "." + module + " " + shape + ": " +
                 (target.source.empty() ? "the model" : target.source) + " has no such " +
                 (names.empty() ? "part" : "layer") +
                 (near.empty() || near == module ? "" : ", the nearest is " + near) +
                 fit_text(lora, target));
}

at::Tensor* site_of(const LoraWeights& lora,
                    const std::string& part,
                    const std::string& module,
                    const LoraTarget& target) {
  const auto sites = target.parts.find(part);
  if (sites == target.parts.end()) throw_absent(lora, part, module, target);
  const std::string name =
      part == kUnetPart ? diffusers_module(module, target.layers_per_block) : module;
  const auto site = sites->second.find(name);
  if (site == sites->second.end()) throw_absent(lora, part, module, target);
  const std::vector<int64_t> found = change_shape(lora.parts.at(part).at(module));
  if (flat_size(found) != flat_size(site->second->sizes())) {
    throw BadInput(lora.source + ": layer " + part + "." + name + ": changes a weight of " +
                   data::shape_text(found) + ", " +
                   (target.source.empty() ? "the model" : target.source) + " has one of " +
                   data::shape_text(site->second->sizes()) + fit_text(lora, target));
  }
  return site->second;
}

Plan plan_of(const LoraTarget& target, const std::vector<LoraUse>& uses) {
  Plan plan;
  for (const auto& use : uses) {
    for (const auto& [part, modules] : use.lora->parts) {
      // A bare network takes the network's part alone.
      if (!is_network_part(part) && !target.parts.contains(kTextPart)) continue;
      const double weight = is_network_part(part) ? use.unet_weight : use.text_weight;
      for (const auto& [module, change] : modules) {
        at::Tensor* site = site_of(*use.lora, part, module, target);
        if (weight != 0) plan[site].push_back({&change, weight});
      }
    }
  }
  return plan;
}

void add_encoder(LoraTarget& target, const char* part, nn::ClipText& text) {
  auto& sites = target.parts[part];
  nn::for_each_linear(text.encoder, "encoder", [&](const std::string& name, nn::Linear& layer) {
    sites[name] = &layer.weight;
  });
  if (text.text_projection.weight.defined())
    sites["text_projection"] = &text.text_projection.weight;
}

}  // namespace

LoraTarget lora_target(Network& network) {
  LoraTarget target;
  target.family = network_family(kind_of(network).class_name, traits(network).context_width);
  if (const UNet* unet = std::get_if<UNet>(&network))
    target.layers_per_block = unet->config.layers_per_block.at(0);
  auto& sites = target.parts[kind_of(network).part];
  for_each_lora_site(network, [&](const LoraSite& site) { sites[site.name] = &site.weight; });
  return target;
}

LoraTarget lora_target(Pipeline& pipeline) {
  LoraTarget target = lora_target(pipeline.network);
  target.source = pipeline.source.string();
  for (size_t i = 0; i < pipeline.text_encoders.size(); ++i)
    add_encoder(target, kTextParts[i], pipeline.text_encoders[i].network);
  return target;
}

void check_loras(const LoraTarget& target, const std::vector<LoraUse>& uses) {
  plan_of(target, uses);
}

void apply_loras(LoraTarget& target, const std::vector<LoraUse>& uses) {
  const at::NoGradGuard no_grad;
  for (const auto& [site, terms] : plan_of(target, uses)) {
    at::Tensor sum = site->detach().to(at::kFloat);
    for (const Term& term : terms) {
      const at::Tensor change = dense_change(*term.change).view(site->sizes());
      sum = at::add(sum, change.to(site->device()), term.weight);
    }
    *site = sum.to(site->scalar_type());
  }
}

void apply_loras(Pipeline& pipeline, const std::vector<LoraUse>& uses) {
  LoraTarget target = lora_target(pipeline);
  apply_loras(target, uses);
  for (const auto& use : uses) {
    const auto& parts = use.lora->parts;
    const bool text = parts.contains(kTextPart) || parts.contains(kText2Part);
    if (text && use.text_weight != 0) pipeline.cache = make_prompt_cache();
  }
}

}  // namespace diffusion
