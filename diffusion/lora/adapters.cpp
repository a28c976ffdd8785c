#include "diffusion/lora/adapters.hpp"

#include <ATen/ATen.h>

#include <cmath>

#include "data/base/error.hpp"

namespace diffusion {
namespace {

bool ends_in(const std::string& name, const std::string& target) {
  return name == target || name.ends_with("." + target);
}

nn::Lora make_lora(const at::Tensor& weight, const LoraOptions& options, at::Generator& generator) {
  const double fan_in = static_cast<double>(weight[0].numel());
  std::vector<int64_t> down = weight.sizes().vec(), up(weight.dim(), 1);
  down[0] = options.rank;
  up[0] = weight.size(0);
  up[1] = options.rank;
  nn::Lora lora;
  lora.down = at::empty(down, at::kFloat)
                  .uniform_(-1 / std::sqrt(fan_in), 1 / std::sqrt(fan_in), generator);
  lora.down = lora.down.to(weight.device()).requires_grad_(true);
  const auto type = at::promote_types(weight.scalar_type(), at::kFloat);  // fp32 on bf16 weights
  lora.up = at::zeros(up, weight.options().dtype(type)).requires_grad_(true);
  lora.scale = options.alpha > 0 ? options.alpha / static_cast<double>(options.rank) : 1.0;
  return lora;
}

}  // namespace

void for_each_lora_site(Network& network, const std::function<void(const LoraSite&)>& visit) {
  const auto each = [&](const std::string& name, auto& layer) {
    visit({name, layer.weight, layer.lora});
  };
  for_each_adaptable_layer(network, {each, each});
}

void attach_lora(Network& network, const LoraOptions& options, at::Generator& generator) {
  TORCH_CHECK(options.rank >= 1, "attach_lora: rank must be >= 1, got ", options.rank);
  for_each_tensor(network, "",
                  [](const std::string&, at::Tensor& tensor) { tensor = tensor.detach(); });
  std::vector<bool> used(options.targets.size());
  std::vector<std::string> ends;
  for_each_lora_site(network, [&](const LoraSite& site) {
    ends.push_back(site.name.substr(site.name.rfind('.') + 1));
    bool wanted = false;
    for (size_t i = 0; i < options.targets.size(); ++i) {
      if (!ends_in(site.name, options.targets[i])) continue;
      wanted = used[i] = true;
    }
    site.lora = wanted ? make_lora(site.weight, options, generator) : nn::Lora{};
  });
  for (size_t i = 0; i < used.size(); ++i) {
    if (used[i]) continue;
    const std::string near = data::nearest(options.targets[i], ends);
    throw data::BadInput("lora_targets: no layer of the UNet ends in '" + options.targets[i] + "'" +
                         (near.empty() ? "" : "; did you mean " + near + "?"));
  }
}

train::Params lora_parameters(Network& network) {
  train::Params params;
  for_each_lora_site(network, [&](const LoraSite& site) {
    if (!site.lora.down.defined()) return;
    params.push_back({site.name + ".lora_A.weight", site.lora.down});
    params.push_back({site.name + ".lora_B.weight", site.lora.up});
  });
  return params;
}

void fuse_lora(Network& network) {
  for_each_lora_site(network, [](const LoraSite& site) {
    if (!site.lora.down.defined()) return;
    const at::Tensor change =
        site.lora.up.detach().flatten(1).mm(site.lora.down.detach().flatten(1));
    site.weight = site.weight.detach() + site.lora.scale * change.view_as(site.weight);
    site.lora = nn::Lora{};
  });
}

}  // namespace diffusion
