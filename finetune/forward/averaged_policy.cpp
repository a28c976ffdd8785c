#include "finetune/forward/averaged_policy.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <string>

#include "data/base/error.hpp"
#include "data/device/transfer.hpp"
#include "data/weights/safetensors.hpp"

namespace finetune {
namespace {

constexpr const char *kAverageFile = "average.safetensors", *kBrakedNote = "braked";

}  // namespace

AveragedPolicy make_averaged(const train::Params& params) {
  AveragedPolicy policy{.params = params};
  policy.average.ramp = false;
  for (const auto& param : params) policy.average.shadow.push_back(param.value.detach().clone());
  return policy;
}

void follow_epoch(AveragedPolicy& policy, int64_t epoch, double rate, double most) {
  policy.average.decay = std::min(rate * static_cast<double>(epoch), most);
  if (policy.average.decay > 0) return train::update_ema(policy.average, policy.params);
  restart_average(policy);
}

void restart_average(AveragedPolicy& policy) {
  const at::NoGradGuard no_gradient;
  for (size_t i = 0; i < policy.params.size(); ++i)
    policy.average.shadow[i].copy_(policy.params[i].value);
}

void save_average(const std::filesystem::path& folder, const AveragedPolicy& policy) {
  data::Weights weights;
  for (size_t i = 0; i < policy.params.size(); ++i)
    weights.tensors[policy.params[i].name] = data::to_host(policy.average.shadow[i]);
  weights.metadata[kBrakedNote] = std::to_string(policy.braked ? 1 : 0);
  data::write_safetensors(folder / kAverageFile, weights);
}

void load_average(const std::filesystem::path& folder, AveragedPolicy& policy) {
  const at::NoGradGuard no_gradient;
  const auto file = folder / kAverageFile;
  const data::Weights weights = data::read_safetensors(file);
  for (size_t i = 0; i < policy.params.size(); ++i) {
    const std::string& name = policy.params[i].name;
    const auto found = weights.tensors.find(name);
    at::Tensor& value = policy.average.shadow[i];
    if (found == weights.tensors.end() || found->second.sizes() != value.sizes())
      throw data::BadInput(file.string() + ": expected " + name +
                           " of the shape that is trained, found none; the checkpoint is of "
                           "another run");
    value.copy_(found->second);
  }
  const auto braked = weights.metadata.find(kBrakedNote);
  policy.braked = braked != weights.metadata.end() && braked->second == "1";
}

}  // namespace finetune
