#include "tools/train_reward/trajectories.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/format.hpp"
#include "data/base/json.hpp"
#include "data/base/splitmix.hpp"
#include "data/storage/sha256.hpp"
#include "data/weights/safetensors.hpp"
#include "diffusion/sampling/random_noise.hpp"
#include "tools/sample/guides/rating.hpp"

namespace fs = std::filesystem;

namespace tools {
namespace {

constexpr size_t kKeyDigits = 12;  // of a digest that names a folder

fs::path trajectory_file(const fs::path& folder, size_t prompt) {
  return folder / data::formatted("%05zu.safetensors", prompt);
}

diffusion::NoiseSchedule schedule_of(const diffusion::Pipeline& pipeline,
                                     const std::vector<int64_t>& shape) {
  return diffusion::make_schedule(pipeline.scheduler, diffusion::image_tokens(pipeline, shape));
}

std::vector<int64_t> shape_of(const diffusion::Pipeline& pipeline, const TrajectoryPlan& plan) {
  return diffusion::latent_shape(pipeline, plan.generate.height, plan.generate.width);
}

nlohmann::ordered_json plan_settings(const diffusion::Pipeline& pipeline,
                                     const TrajectoryPlan& plan) {
  std::string prompts;
  for (const auto& prompt : plan.prompts) prompts += prompt + "\n";
  const auto& sampler = plan.generate.sampler;
  return {{"model", pipeline.source.string()},
          {"prompts", data::sha256(prompts)},
          {"chains", plan.chains},
          {"seed", plan.seed},
          {"latent", shape_of(pipeline, plan)},
          {"sampling_method", sampler.sampler->flag},
          {"steps", sampler.steps},
          {"eta", sampler.eta},
          {"cfg_scale", plan.generate.guidance.scale}};
}

void check_same_plan(const fs::path& folder, const nlohmann::ordered_json& wanted) {
  const fs::path file = folder / "trajectories.json";
  if (!fs::exists(file)) return data::write_file(file, data::to_text(wanted, 2) + "\n");
  const nlohmann::json found = data::read_json_object(file);
  for (const auto& [key, value] : wanted.items()) {
    const nlohmann::json there = found.value(key, nlohmann::json());
    if (there == nlohmann::json(value)) continue;
    throw data::BadInput(file.string() + ": " + key + ": expected " + data::to_text(value) +
                         " as this run has it, found " + data::to_text(there) +
                         "; name a new --trajectories folder");
  }
}

// Some chains of a prompt.
rewards::ChainFile draw_chains(const diffusion::Pipeline& pipeline,
                               const TrajectoryPlan& plan,
                               size_t prompt,
                               int64_t first,
                               int64_t count) {
  const auto shape = shape_of(pipeline, plan);
  std::vector<diffusion::ImageRequest> requests;
  std::vector<uint64_t> seeds;
  const uint64_t base = data::splitmix64(static_cast<uint64_t>(plan.seed)) + prompt;
  for (int64_t i = first; i < first + count; ++i) {
    seeds.push_back(data::splitmix64(data::splitmix64(base) + static_cast<uint64_t>(i)) >> 1);
    requests.push_back({.prompt = plan.prompts[prompt],
                        .negative_prompt = "",
                        .seed = seeds.back(),
                        .latents = {}});
  }
  std::vector<at::Tensor> latents, expected;
  diffusion::SamplerOptions sampler = plan.generate.sampler;
  sampler.select = [&](const diffusion::SamplerCallState& state) {
    expected.push_back(state.x0.cpu().to(at::kHalf));
    return at::Tensor();
  };
  auto generators = diffusion::image_generators(seeds);
  const at::Tensor noise =
      diffusion::draw_noise(generators, shape, diffusion::device_of(pipeline.network));
  const diffusion::Denoiser denoiser = diffusion::batch_denoiser(pipeline, requests, plan.generate);
  const auto kept = [&](const at::Tensor& x, double timestep) {
    latents.push_back(x.cpu().to(at::kHalf));
    return denoiser(x, timestep);
  };
  const at::Tensor clean =
      diffusion::sample(kept, noise, schedule_of(pipeline, shape), generators, sampler);
  return {.prompt = plan.prompts[prompt],
          .latents = at::stack(latents, 1),
          .clean = clean.cpu().to(at::kFloat),
          .expected = at::stack(expected, 1)};
}

// Calls `part` with each stretch of at most `size` of `count` rows.
void in_batches(int64_t count, int64_t size, const std::function<void(int64_t, int64_t)>& part) {
  for (int64_t first = 0; first < count; first += size) part(first, std::min(size, count - first));
}

void draw_prompt(const fs::path& file,
                 const diffusion::Pipeline& pipeline,
                 const TrajectoryPlan& plan,
                 size_t prompt) {
  std::vector<at::Tensor> latents, expected, clean;
  in_batches(plan.chains, plan.generate.micro_batch, [&](int64_t first, int64_t count) {
    const rewards::ChainFile drawn = draw_chains(pipeline, plan, prompt, first, count);
    latents.push_back(drawn.latents);
    expected.push_back(drawn.expected);
    clean.push_back(drawn.clean);
  });
  rewards::write_chain_file(file, {.prompt = plan.prompts[prompt],
                                   .latents = at::cat(latents),
                                   .clean = at::cat(clean),
                                   .expected = at::cat(expected)});
}

// [n] the weighted rewards of the pictures of latents.  latents: [n, C, h, w]
at::Tensor rate_rows(const TrajectoryRater& rater,
                     const at::Tensor& latents,
                     const std::string& prompt,
                     bool as_written) {
  const at::NoGradGuard no_grad;
  const at::Device device = diffusion::device_of(rater.pipeline.network);
  std::vector<at::Tensor> parts;
  in_batches(latents.size(0), rater.batch_size, [&](int64_t first, int64_t count) {
    const std::vector<std::string> captions(static_cast<size_t>(count), prompt);
    const at::Tensor rows = latents.narrow(0, first, count).to(device, at::kFloat);
    parts.push_back(at::tensor(
        as_written
            ? rate_images(rater.rewards,
                          diffusion::latents_to_images(rater.pipeline.vae, rows).cpu(), captions)
            : rate_latents(rater.rewards, rater.pipeline, rows, captions),
        at::kDouble));
  });
  return at::cat(parts);
}

const at::Tensor& tensor_of(const data::Weights& file,
                            const std::string& name,
                            int64_t dimensions) {
  const auto found = file.tensors.find(name);
  if (found != file.tensors.end() && found->second.dim() == dimensions) return found->second;
  throw data::BadInput(file.source + ": " + name + ": expected a tensor of " +
                       std::to_string(dimensions) +
                       " dimensions, found none; delete the file, and run again");
}

}  // namespace

std::vector<double> trajectory_timesteps(const diffusion::Pipeline& pipeline,
                                         const TrajectoryPlan& plan) {
  const auto schedule = schedule_of(pipeline, shape_of(pipeline, plan));
  std::vector<double> timesteps;
  for (const auto& call : diffusion::sampler_table(schedule, plan.generate.sampler).calls)
    timesteps.push_back(call.timestep);
  return timesteps;
}

void draw_trajectories(const fs::path& folder,
                       const diffusion::Pipeline& pipeline,
                       const TrajectoryPlan& plan,
                       const std::function<void()>& advance) {
  const at::NoGradGuard no_grad;
  check_same_plan(folder, plan_settings(pipeline, plan));
  for (size_t i = 0; i < plan.prompts.size(); ++i) {
    const fs::path file = trajectory_file(folder, i);
    if (!fs::exists(file)) draw_prompt(file, pipeline, plan, i);
    advance();
  }
}

rewards::ChainFile read_trajectories(const fs::path& folder, size_t prompt) {
  const fs::path file = trajectory_file(folder, prompt);
  rewards::ChainFile chains = rewards::read_chain_file(file);
  if (!chains.expected.defined())
    throw data::BadInput(file.string() +
                         ": expected what the sampler expected at each step, found none; delete "
                         "the file, and run again");
  return chains;
}

TrajectoryRatings rate_trajectories(const fs::path& folder,
                                    const TrajectoryPlan& plan,
                                    size_t prompt,
                                    bool with_expected,
                                    const TrajectoryRater& rater) {
  const fs::path rated = trajectory_file(
      folder / ("ratings-" + data::sha256(rater.identity).substr(0, kKeyDigits)), prompt);
  if (fs::exists(rated)) {
    const data::Weights file = data::read_safetensors(rated);
    TrajectoryRatings known{tensor_of(file, "rewards", 1).clone(), {}};
    if (!with_expected) return known;
    if (file.tensors.count("expected") > 0) {
      known.expected = tensor_of(file, "expected", 2).clone();
      return known;
    }
  }
  const rewards::ChainFile drawn = read_trajectories(folder, prompt);
  const std::string& caption = plan.prompts[prompt];
  TrajectoryRatings ratings{rate_rows(rater, drawn.clean, caption, /*as_written=*/true), {}};
  data::Weights file{.tensors = {{"rewards", ratings.rewards}}, .metadata = {}, .source = ""};
  if (with_expected) {
    std::vector<at::Tensor> steps;
    for (int64_t k = 0; k < drawn.expected.size(1); ++k)
      steps.push_back(rate_rows(rater, drawn.expected.select(1, k), caption, /*as_written=*/false));
    ratings.expected = at::stack(steps, 1);
    file.tensors["expected"] = ratings.expected;
  }
  data::write_safetensors(rated, file);
  return ratings;
}

}  // namespace tools
