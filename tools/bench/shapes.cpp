#include "tools/bench/shapes.hpp"

#include <cstdio>
#include <nlohmann/json.hpp>

#include "data/base/error.hpp"
#include "data/base/json.hpp"
#include "data/device/device.hpp"
#include "data/device/memory.hpp"
#include "data/profile/flops.hpp"
#include "finetune/estimate/memory.hpp"
#include "tools/bench/shape_work.hpp"

namespace bench {
namespace {

constexpr double kMegabyte = 1024 * 1024;

// Bytes of the network with its linear layers in `compute`.
double network_bytes(const ModelShape& shape, at::ScalarType compute) {
  double bytes = 0;
  diffusion::Network network = shape_network(shape, compute);
  for_each_tensor(network, "", [&](const std::string&, const at::Tensor& tensor) {
    bytes += static_cast<double>(tensor.nbytes());
  });
  return bytes;
}

// libtorch's autocast does not know the meta device: all is counted in fp32.
StageForecast forecast(const ShapeStage& stage,
                       const SizedShape& shape,
                       const ShapeOptions& options) {
  ShapeOptions plain = options;
  plain.device = at::kMeta;
  plain.compute = at::kFloat;
  const BenchStage trial = stage.make(shape, plain);
  StageForecast result{.name = trial.name, .batch = trial.batch};
  result.beside = static_cast<double>(data::peak_meta_bytes(
      [&] { result.flops = static_cast<double>(data::count_flops(trial.run)); }));
  result.weights =
      stage.of_network ? network_bytes(shape.model, options.compute) : trial.weights_mb * kMegabyte;
  return result;
}

double total(const StageForecast& forecast) {
  return forecast.weights + forecast.beside + data::kMatrixBuffers;
}

// 0: unknown
double memory_of(at::Device device) {
  return device.is_cpu() ? data::available_memory() : data::memory_within_reach(device);
}

// Smaller runs of a network's stage.
std::vector<finetune::Alternative> smaller(const ShapeStage& stage,
                                           const SizedShape& shape,
                                           const ShapeOptions& options) {
  std::vector<finetune::Alternative> list;
  if (!stage.of_network) return list;
  ShapeOptions half = options;
  half.compute = at::kBFloat16;
  if (options.compute == at::kFloat)
    list.push_back({"--precision bf16", total(forecast(stage, shape, half))});
  for (int64_t blocks = blocks_of(shape.model) / 2; blocks > 0; blocks /= 2) {
    SizedShape less = shape;
    less.model = with_blocks(shape.model, blocks);
    list.push_back({"--blocks " + std::to_string(blocks), total(forecast(stage, less, options))});
  }
  return list;
}

void check_memory(const ShapeStage& stage, const SizedShape& shape, const ShapeOptions& options) {
  const double found = memory_of(options.device);
  const StageForecast wanted = forecast(stage, shape, options);
  if (found <= 0 || total(wanted) <= found) return;
  throw data::BadInput("memory: " + options.shape + ", stage " + stage.name + ": expected " +
                       data::bytes_text(total(wanted)) + " (forecast, weights " +
                       data::bytes_text(wanted.weights) + "), found " + data::bytes_text(found) +
                       " free; " + finetune::what_would_fit(found, smaller(stage, shape, options)));
}

}  // namespace

std::vector<StagePlan> make_shape_stages(const ShapeOptions& options) {
  const SizedShape shape = sized_shape(options);
  std::vector<StagePlan> plans;
  for (const ShapeStage& stage : shape_stages(shape.model)) {
    plans.push_back({stage.name, [=] {
                       check_memory(stage, shape, options);
                       return stage.make(shape, options);
                     }});
  }
  return plans;
}

std::vector<StageForecast> forecast_shape_stages(const ShapeOptions& options) {
  const SizedShape shape = sized_shape(options);
  std::vector<StageForecast> forecasts;
  for (const ShapeStage& stage : shape_stages(shape.model))
    forecasts.push_back(forecast(stage, shape, options));
  return forecasts;
}

std::string forecast_table(const std::vector<StageForecast>& forecasts) {
  char line[160];
  std::snprintf(line, sizeof line, "%-14s %5s %10s %12s %12s\n", "stage", "batch", "TFLOP",
                "weights", "beside them");
  std::string text = line;
  for (const auto& one : forecasts) {
    std::snprintf(line, sizeof line, "%-14s %5d %10.3f %12s %12s\n", one.name.c_str(),
                  static_cast<int>(one.batch), one.flops / 1e12,
                  data::bytes_text(one.weights).c_str(), data::bytes_text(one.beside).c_str());
    text += line;
  }
  return text;
}

std::string forecast_json(const std::vector<StageForecast>& forecasts) {
  nlohmann::ordered_json root{{"stages", nlohmann::ordered_json::array()}};
  for (const auto& one : forecasts)
    root["stages"].push_back({{"name", one.name},
                              {"batch", one.batch},
                              {"flops", one.flops},
                              {"weights_bytes", one.weights},
                              {"beside_bytes", one.beside}});
  return data::to_text(root, 2) + "\n";
}

}  // namespace bench
