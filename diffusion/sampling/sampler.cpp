#include "diffusion/sampling/sampler.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <deque>

#include "data/base/error.hpp"
#include "data/base/shape.hpp"
#include "data/images/generation_parameters.hpp"
#include "diffusion/sampling/gaussian_step.hpp"
#include "diffusion/sampling/sampler_catalog.hpp"

namespace diffusion {
namespace {

// The first of `count` calls that a run of this strength makes.
size_t first_call(size_t count, double strength) {
  const double run = std::floor(static_cast<double>(count) * strength + 1e-9);
  return count - static_cast<size_t>(std::clamp(run, 1.0, static_cast<double>(count)));
}

// What the calls so far have left: each [B, C, H, W].
struct History {
  at::Tensor start, noise;           // of the call before
  std::deque<at::Tensor> estimates;  // newest first
};

// The rows of all states so far.
void keep_rows(History& history, const at::Tensor& rows) {
  for (at::Tensor* state : {&history.start, &history.noise})
    if (state->defined()) *state = state->index_select(0, rows);
  for (at::Tensor& estimate : history.estimates) estimate = estimate.index_select(0, rows);
}

void add_estimates(const SamplerCall& call,
                   const at::Tensor& x,
                   const at::Tensor& output,
                   std::deque<at::Tensor>& estimates) {
  if (call.both) {
    const Predicted predicted = predict(call.both->prediction, call.both->level, output, x);
    estimates.push_front(predicted.epsilon);
    estimates.push_front(predicted.x0);
    return;
  }
  estimates.push_front(call.estimate.from_x * x + call.estimate.from_output * output);
}

// sum + sum_i weights[i] estimates[i]
at::Tensor plus_estimates(at::Tensor sum,
                          const std::vector<double>& weights,
                          const std::deque<at::Tensor>& estimates) {
  TORCH_CHECK(weights.size() <= estimates.size(), "sample: a table asks for ", weights.size(),
              " estimates, there are ", estimates.size());
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
  add_estimates(call, x, output, history.estimates);
  // A run that begins in the middle of the table: the first estimate stands for those before it,
  // which makes the step one of first order.
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

// What the move of the output from `unmoved` adds to the mean of the state that follows.
at::Tensor mean_shift(SamplerCall call,
                      const at::Tensor& x,
                      const at::Tensor& output,
                      const at::Tensor& unmoved,
                      const History& history) {
  call.from_noise = 0;
  std::vector<at::Generator> none;
  History with = history, without = history;
  return next_state(call, x, output, with, none) - next_state(call, x, unmoved, without, none);
}

// A step of a run: the state that follows, and SamplerCallState::log_ratio there.
struct RunStep {
  at::Tensor next, log_ratio;
};

RunStep run_step(const SamplerCall& call,
                 const at::Tensor& x,
                 const at::Tensor& output,
                 const at::Tensor& unmoved,
                 History& history,
                 std::vector<at::Generator>& generators) {
  if (!unmoved.defined() || call.from_noise == 0)
    return {next_state(call, x, output, history, generators), {}};
  const at::Tensor shift = mean_shift(call, x, output, unmoved, history);
  const at::Tensor next = next_state(call, x, output, history, generators);
  return {next, log_ratio(-shift, at::zeros_like(shift), call.from_noise * history.noise,
                          call.from_noise)};
}

// How many estimates a table looks back on.
size_t memory_of(const SamplerTable& table) {
  size_t memory = 0;
  for (const auto& call : table.calls)
    memory = std::max({memory, call.from_estimates.size(), call.start_from_estimates.size()});
  return memory;
}

// Whether the call is the second or a later one of its step (Heun, DPM++ SDE, PNDM).
bool inside_step(const SamplerCall& call) {
  const bool second = call.start_from_x == 0 && call.start_from_start != 0;
  return call.from_previous_noise > 0 || (second && call.start_from_estimates.empty());
}

// Where a run begins in its table.
struct RunStart {
  size_t call = 0;
  at::Tensor x;  // [B, C, H, W] the state before it
};

RunStart run_start(const InitialImage& image,
                   const at::Tensor& noise,
                   const SamplerTable& table,
                   const NoiseSchedule& schedule) {
  if (!image.latents.defined()) return {0, noise * table.initial_scale};
  size_t first = first_call(table.calls.size(), image.strength);
  while (first > 0 && inside_step(table.calls[first])) --first;
  const SamplerCall& call = table.calls[first];
  // The network sees input_scale x, which has unit variance where input_scale is not 1.
  const NoiseLevel level = call.input_scale == 1
                               ? level_between(schedule, call.timestep)
                               : level_of_alpha_bar(call.input_scale * call.input_scale);
  return {first, add_noise(level, image.latents, noise) / call.input_scale};
}

void check_eta(const SamplerOptions& options) {
  if (options.eta >= 0 && options.eta <= 1) return;
  throw data::BadInput("eta: expected a value in [0, 1], found " + data::short_number(options.eta));
}

}  // namespace

SamplerTable sampler_table(const NoiseSchedule& schedule, const SamplerOptions& options) {
  check_eta(options);
  check_runs_on(schedule.config, *options.sampler);
  return schedule.config.flow ? options.sampler->flow->table(schedule, options)
                              : options.sampler->table(schedule, options);
}

int64_t network_calls(const NoiseSchedule& schedule, const SamplerOptions& options) {
  return static_cast<int64_t>(sampler_table(schedule, options).calls.size());
}

void check_runs_on(const SchedulerConfig& config, const Sampler& sampler) {
  if (!config.flow) return;
  if (sampler.flow == nullptr) {
    std::string able;
    for (const Sampler* row : samplers()) {
      if (row->flow != nullptr) able += (able.empty() ? "" : ", ") + std::string(row->flag);
    }
    throw data::BadInput("sampling method: " + std::string(sampler.label) +
                         " does not run on a flow-matching model; take one of " + able);
  }
  if (config.sigma_schedule != nullptr && !sampler.flow->takes_sigma_schedule) {
    throw data::BadInput("sampling method: " + std::string(sampler.label) + " takes no " +
                         config.sigma_schedule->label +
                         " sigmas on a flow-matching model; take euler, or leave them out");
  }
}

bool draws_noise(const SamplerOptions& options) { return options.sampler->stochastic(options); }

at::Tensor sample(const Denoiser& denoiser,
                  const at::Tensor& noise,
                  const NoiseSchedule& schedule,
                  std::vector<at::Generator>& generators,
                  const SamplerOptions& options) {
  return sample_from({}, denoiser, noise, schedule, generators, options);
}

at::Tensor sample_from(const InitialImage& image,
                       const Denoiser& denoiser,
                       const at::Tensor& noise,
                       const NoiseSchedule& schedule,
                       std::vector<at::Generator>& generators,
                       const SamplerOptions& options) {
  data::check_shape(noise, {-1, -1, -1, -1}, "sample: noise");
  TORCH_CHECK(!draws_noise(options) || static_cast<int64_t>(generators.size()) == noise.size(0),
              "sample: expected ", noise.size(0), " generators, got ", generators.size());
  const SamplerTable table = sampler_table(schedule, options);
  const size_t memory = memory_of(table);
  auto [first, x] = run_start(image, noise, table, schedule);
  History history;
  at::Tensor ratio;  // [B] of the step before
  int64_t done = 0;
  for (size_t i = first; i < table.calls.size(); ++i) {
    const SamplerCall& call = table.calls[i];
    const at::Tensor input = call.input_scale == 1 ? x : x * call.input_scale;
    at::Tensor output = denoiser(input, call.timestep).to(x.scalar_type());
    at::Tensor unmoved = options.unmoved ? options.unmoved().to(x.scalar_type()) : at::Tensor();
    if (options.select) {
      const Predicted said = predict(schedule.config.prediction_type,
                                     level_between(schedule, call.timestep), output, input);
      const at::Tensor rows =
          options.select({static_cast<int64_t>(i - first),
                          static_cast<int64_t>(table.calls.size() - first), said.x0, ratio});
      if (rows.defined()) {
        for (at::Tensor* state : {&x, &output, &unmoved})
          if (state->defined()) *state = state->index_select(0, rows);
        keep_rows(history, rows);
      }
    }
    const RunStep step = run_step(call, x, output, unmoved, history, generators);
    x = step.next;
    ratio = step.log_ratio;
    while (history.estimates.size() > memory) history.estimates.pop_back();
    if (options.on_step) options.on_step(++done);
  }
  return x;
}

}  // namespace diffusion
