#include "diffusion/samplers.hpp"

#include <ATen/ATen.h>

#include <deque>

#include "data/error.hpp"
#include "data/parameters.hpp"
#include "data/shape.hpp"
#include "diffusion/samplers_tables.hpp"
#include "diffusion/step.hpp"

namespace diffusion {
namespace {

at::Tensor sample_ddim(const Denoiser& denoiser,
                       at::Tensor x,
                       const NoiseSchedule& schedule,
                       std::vector<at::Generator>& generators,
                       const SamplerOptions& options) {
  int64_t done = 0;
  for (const auto& step : ddim_steps(schedule, options.steps, options.eta, options.sigma_min)) {
    const at::Tensor output = denoiser(x, static_cast<double>(step.timestep));
    at::Tensor noise;
    if (step.sigma > 0) noise = draw_noise(generators, x.sizes().slice(1), x.device());
    x = ddim_sample(step, schedule.config.prediction_type, output, x, noise).next;
    if (options.on_step) options.on_step(++done);
  }
  return x;
}

// What a chain has seen: each [B, C, H, W].
struct History {
  at::Tensor start, noise;           // of the call before
  std::deque<at::Tensor> estimates;  // newest first
};

// sum + sum_i weights[i] estimates[i]
at::Tensor plus_estimates(at::Tensor sum,
                          const std::vector<double>& weights,
                          const std::deque<at::Tensor>& estimates) {
  TORCH_CHECK(weights.size() <= estimates.size(), "sample: a table asks for ", weights.size(),
              " estimates after ", estimates.size(), " calls");
  for (size_t i = 0; i < weights.size(); ++i) {
    if (weights[i] != 0) sum = sum + weights[i] * estimates[i];
  }
  return sum;
}

// The state after `call`, from x and the network's output there.
at::Tensor next_state(const SamplerCall& call,
                      const at::Tensor& x,
                      const at::Tensor& output,
                      History& history,
                      std::vector<at::Generator>& generators) {
  history.estimates.push_front(call.estimate.from_x * x + call.estimate.from_output * output);
  at::Tensor start = call.start_from_x == 1 ? x : call.start_from_x * x;
  if (call.start_from_start != 0) start = start + call.start_from_start * history.start;
  start = plus_estimates(start, call.start_from_estimates, history.estimates);
  at::Tensor next = plus_estimates(call.from_start * start, call.from_estimates, history.estimates);
  if (call.from_previous_noise > 0) next = next + call.from_previous_noise * history.noise;
  if (call.from_noise > 0) {
    history.noise = draw_noise(generators, x.sizes().slice(1), x.device());
    next = next + call.from_noise * history.noise;
  }
  history.start = start;
  return next;
}

// How many estimates a table looks back on.
size_t memory_of(const SamplerTable& table) {
  size_t memory = 0;
  for (const auto& call : table.calls)
    memory = std::max({memory, call.from_estimates.size(), call.start_from_estimates.size()});
  return memory;
}

at::Tensor sample_by_table(const Denoiser& denoiser,
                           const at::Tensor& noise,
                           const SamplerTable& table,
                           std::vector<at::Generator>& generators,
                           const SamplerOptions& options) {
  at::Tensor x = noise * table.initial_scale;  // [B, C, H, W]
  History history;
  const size_t memory = memory_of(table);
  int64_t done = 0;
  for (const auto& call : table.calls) {
    const at::Tensor input = call.input_scale == 1 ? x : x * call.input_scale;
    const at::Tensor output = denoiser(input, call.timestep).to(x.scalar_type());
    x = next_state(call, x, output, history, generators);
    if (history.estimates.size() > memory) history.estimates.pop_back();
    if (options.on_step) options.on_step(++done);
  }
  return x;
}

void check_eta(const SamplerOptions& options) {
  if (options.eta >= 0 && options.eta <= 1) return;
  throw data::BadInput("eta: expected a value in [0, 1], found " + data::short_number(options.eta));
}

}  // namespace

SamplerTable sampler_table(const NoiseSchedule& schedule, const SamplerOptions& options) {
  check_eta(options);
  switch (options.sampler) {
    case Sampler::kDdpm:
      return ddpm_table(schedule, options);
    case Sampler::kPndm:
      return pndm_table(schedule, options);
    case Sampler::kEuler:
    case Sampler::kEulerAncestral:
      return euler_table(schedule, options);
    case Sampler::kHeun:
      return heun_table(schedule, options);
    case Sampler::kDpmpp2m:
    case Sampler::kDpmpp2mSde:
      return dpm_multistep_table(schedule, options);
    case Sampler::kDpmpp2s:
      return dpm_singlestep_table(schedule, options);
    case Sampler::kDpmppSde:
      return dpm_sde_table(schedule, options);
    case Sampler::kUniPc:
      return unipc_table(schedule, options);
    case Sampler::kLcm:
      return lcm_table(schedule, options);
    case Sampler::kTcd:
      return tcd_table(schedule, options);
    case Sampler::kDdim:
      break;
  }
  TORCH_CHECK(false, "sampler_table: DDIM has no table, see ddim_steps");
}

int64_t network_calls(const NoiseSchedule& schedule, const SamplerOptions& options) {
  if (options.sampler != Sampler::kDdim)
    return static_cast<int64_t>(sampler_table(schedule, options).calls.size());
  check_eta(options);
  const auto steps = ddim_steps(schedule, options.steps, options.eta, options.sigma_min);
  return static_cast<int64_t>(steps.size());
}

bool draws_noise(const SamplerOptions& options) {
  switch (options.sampler) {
    case Sampler::kDdim:
      return options.eta > 0 || options.sigma_min > 0;
    case Sampler::kTcd:
      return options.eta > 0;
    case Sampler::kDdpm:
    case Sampler::kEulerAncestral:
    case Sampler::kDpmpp2mSde:
    case Sampler::kDpmppSde:
    case Sampler::kLcm:
      return true;
    default:
      return false;
  }
}

at::Tensor sample(const Denoiser& denoiser,
                  const at::Tensor& noise,
                  const NoiseSchedule& schedule,
                  std::vector<at::Generator>& generators,
                  const SamplerOptions& options) {
  data::check_shape(noise, {-1, -1, -1, -1}, "sample: noise");
  TORCH_CHECK(!draws_noise(options) || static_cast<int64_t>(generators.size()) == noise.size(0),
              "sample: expected ", noise.size(0), " generators, got ", generators.size());
  if (options.sampler == Sampler::kDdim)
    return sample_ddim(denoiser, noise, schedule, generators, options);
  return sample_by_table(denoiser, noise, sampler_table(schedule, options), generators, options);
}

}  // namespace diffusion
