#include "diffusion/sampling/sampler.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <deque>

#include "data/base/error.hpp"
#include "data/base/shape.hpp"
#include "data/images/generation_parameters.hpp"
#include "diffusion/sampling/gaussian_step.hpp"
#include "diffusion/sampling/methods.hpp"

namespace diffusion {
namespace {

// The first of `count` calls that a chain makes.
size_t first_call(size_t count, double strength) {
  const double run = std::floor(static_cast<double>(count) * strength + 1e-9);
  return count - static_cast<size_t>(std::clamp(run, 1.0, static_cast<double>(count)));
}

at::Tensor noised(const at::Tensor& latents, double alpha_bar, const at::Tensor& noise) {
  return std::sqrt(alpha_bar) * latents + std::sqrt(1 - alpha_bar) * noise;
}

at::Tensor sample_ddim(const Start& start,
                       const Denoiser& denoiser,
                       at::Tensor x,
                       const NoiseSchedule& schedule,
                       std::vector<at::Generator>& generators,
                       const SamplerOptions& options) {
  const auto steps = ddim_steps(schedule, options.steps, options.eta, options.sigma_min);
  const size_t first = start.latents.defined() ? first_call(steps.size(), start.strength) : 0;
  if (start.latents.defined()) x = noised(start.latents, steps[first].alpha_bar, x);
  int64_t done = 0;
  for (size_t i = first; i < steps.size(); ++i) {
    const auto& step = steps[i];
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
  // A chain that begins in the middle: what it would have seen before is what it sees now, which
  // makes the step one of first order.
  while (history.estimates.size() < call.from_estimates.size() && !history.start.defined())
    history.estimates.push_back(history.estimates.front());
  at::Tensor start = call.start_from_x == 1 || !history.start.defined() ? x : call.start_from_x * x;
  if (history.start.defined()) {
    if (call.start_from_start != 0) start = start + call.start_from_start * history.start;
    start = plus_estimates(start, call.start_from_estimates, history.estimates);
  }
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

// A later call that reads what an earlier one of its step has found.
bool inside_step(const SamplerCall& call) {
  const bool second = call.start_from_x == 0 && call.start_from_start != 0;
  return call.from_previous_noise > 0 || (second && call.start_from_estimates.empty());
}

struct Entry {
  size_t call = 0;
  at::Tensor x;  // [B, C, H, W] the state before it
};

Entry entry_of(const Start& start,
               const at::Tensor& noise,
               const SamplerTable& table,
               const NoiseSchedule& schedule) {
  if (!start.latents.defined()) return {0, noise * table.initial_scale};
  size_t first = first_call(table.calls.size(), start.strength);
  while (first > 0 && inside_step(table.calls[first])) --first;
  const SamplerCall& call = table.calls[first];
  // The network sees a state of variance one: sqrt(abar) x0 + sqrt(1 - abar) noise.
  const double alpha_bar = call.input_scale == 1 ? alpha_bar_between(schedule, call.timestep)
                                                 : call.input_scale * call.input_scale;
  return {first, noised(start.latents, alpha_bar, noise) / call.input_scale};
}

at::Tensor sample_by_table(const Denoiser& denoiser,
                           const Entry& entry,
                           const SamplerTable& table,
                           std::vector<at::Generator>& generators,
                           const SamplerOptions& options) {
  at::Tensor x = entry.x;
  History history;
  const size_t memory = memory_of(table);
  int64_t done = 0;
  for (size_t i = entry.call; i < table.calls.size(); ++i) {
    const SamplerCall& call = table.calls[i];
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

double alpha_bar_between(const NoiseSchedule& schedule, double timestep) {
  const auto& table = schedule.alphas_cumprod;
  const double last = static_cast<double>(table.size()) - 1;
  const double place = std::clamp(timestep, 0.0, last);
  const auto below = static_cast<size_t>(place);
  const double part = place - static_cast<double>(below);
  if (part == 0) return table[below];
  const auto sigma = [&](size_t i) { return std::sqrt((1 - table[i]) / table[i]); };
  const double between = (1 - part) * sigma(below) + part * sigma(below + 1);
  return 1 / (1 + between * between);
}

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
  return sample_from({}, denoiser, noise, schedule, generators, options);
}

at::Tensor sample_from(const Start& start,
                       const Denoiser& denoiser,
                       const at::Tensor& noise,
                       const NoiseSchedule& schedule,
                       std::vector<at::Generator>& generators,
                       const SamplerOptions& options) {
  data::check_shape(noise, {-1, -1, -1, -1}, "sample: noise");
  TORCH_CHECK(!draws_noise(options) || static_cast<int64_t>(generators.size()) == noise.size(0),
              "sample: expected ", noise.size(0), " generators, got ", generators.size());
  if (options.sampler == Sampler::kDdim)
    return sample_ddim(start, denoiser, noise, schedule, generators, options);
  const SamplerTable table = sampler_table(schedule, options);
  return sample_by_table(denoiser, entry_of(start, noise, table, schedule), table, generators,
                         options);
}

}  // namespace diffusion
