#include "diffusion/networks/layers/taken_layers.hpp"

namespace diffusion {

LayerSource taken_layers(const TakeTensor& take) {
  LayerSource source;
  source.linear = [take](const std::string& name, int64_t out, int64_t in, bool bias) {
    nn::Linear w{take(name + ".weight", {out, in}), {}, {}};
    if (bias) w.bias = take(name + ".bias", {out});
    return w;
  };
  source.conv2d = [take](const std::string& name, int64_t out, int64_t in, int64_t kernel) {
    return nn::Conv2d{
        take(name + ".weight", {out, in, kernel, kernel}), take(name + ".bias", {out}), {}};
  };
  source.norm = [take](const std::string& name, int64_t channels) {
    return nn::Norm{take(name + ".weight", {channels}), take(name + ".bias", {channels})};
  };
  source.rms_norm = [take](const std::string& name, int64_t channels) {
    return nn::Norm{take(name + ".weight", {channels}), {}};
  };
  return source;
}

}  // namespace diffusion
