#include "finetune/task/trained_parameters.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <map>
#include <string>

namespace finetune {

train::Params trained_parameters(diffusion::Network& unet, const TrainingConfig& config) {
  diffusion::set_gradient_checkpointing(unet, config.gradient_checkpointing);
  if (config.train_full) return train::parameters_of(unet, "");
  auto generator = at::detail::createCPUGenerator(static_cast<uint64_t>(config.seed));
  diffusion::attach_lora(unet, {config.rank, config.network_alpha, config.lora_targets}, generator);
  return diffusion::lora_parameters(unet);
}

diffusion::Network with_values(const diffusion::Network& unet,
                               const train::Params& params,
                               const std::vector<at::Tensor>& values) {
  TORCH_CHECK(values.size() == params.size(), "with_values: ", params.size(), " parameters, ",
              values.size(), " values");
  std::map<std::string, at::Tensor> by_name;
  for (size_t i = 0; i < values.size(); ++i) by_name[params[i].name] = values[i];
  diffusion::Network result = unet;
  const auto replace = [&](const std::string& name, at::Tensor& tensor) {
    const auto found = by_name.find(name);
    if (found != by_name.end()) tensor = found->second;
  };
  for_each_tensor(result, "", replace);
  diffusion::for_each_lora_site(result, [&](const diffusion::LoraSite& site) {
    replace(site.name + ".lora_A.weight", site.lora.down);
    replace(site.name + ".lora_B.weight", site.lora.up);
  });
  return result;
}

}  // namespace finetune
