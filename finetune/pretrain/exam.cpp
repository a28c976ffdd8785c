#include "finetune/pretrain/exam.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/grad_mode.h>

#include "data/world/oracle.hpp"
#include "diffusion/pipeline/guidance.hpp"
#include "diffusion/sampling/gaussian_step.hpp"
#include "finetune/datasets/workers.hpp"

namespace finetune {
namespace {

constexpr int64_t kExamSeed = 20240607;  // of the choice of prompts

at::Tensor first_noise(const diffusion::Pipeline& pipeline,
                       int64_t begin,
                       int64_t end,
                       int64_t seed) {
  const int64_t size = diffusion::traits(pipeline.network).sample_size;
  std::vector<at::Tensor> noise;
  for (int64_t i = begin; i < end; ++i) {
    auto generator = at::detail::createCPUGenerator(static_cast<uint64_t>(seed + i));
    noise.push_back(at::randn({1, diffusion::traits(pipeline.network).in_channels, size, size},
                              generator, at::kFloat));
  }
  return at::cat(noise);
}

// text: B rows -> latents [B, C, h, w]
at::Tensor denoise(const diffusion::Pipeline& pipeline,
                   at::Tensor x,
                   const diffusion::TextCondition& text,
                   const ExamOptions& options) {
  const auto schedule = diffusion::make_schedule(pipeline.scheduler);
  const std::vector<diffusion::Prompt> empty(static_cast<size_t>(x.size(0)));
  const auto denoiser = diffusion::guided_denoiser(
      pipeline.network, {.text = text, .negative = diffusion::encode_prompts(pipeline, empty)},
      {.scale = options.guidance_scale});
  for (const auto& step : diffusion::ddim_steps(schedule, options.num_inference_steps, 0.0, 0.0)) {
    const at::Tensor guided = denoiser(x, step.timestep);
    x = diffusion::ddim_sample(step, pipeline.scheduler.prediction_type, guided, x, {}).next;
  }
  return x;
}

}  // namespace

at::Tensor sample_prompts(const diffusion::Pipeline& pipeline,
                          const std::vector<std::string>& prompts,
                          const ExamOptions& options) {
  TORCH_CHECK(!prompts.empty(), "sample_prompts: expected at least one prompt");
  const auto count = static_cast<int64_t>(prompts.size());
  const int64_t workers = std::min(options.num_workers, count);
  std::vector<at::Tensor> parts(workers);
  in_parallel(workers, [&](int64_t i) {
    const at::NoGradGuard no_grad;
    const int64_t begin = count * i / workers, end = count * (i + 1) / workers;
    const auto text =
        diffusion::encode_prompts(pipeline, {prompts.begin() + begin, prompts.begin() + end});
    const at::Tensor noise = first_noise(pipeline, begin, end, options.seed);
    parts[i] = diffusion::latents_to_images(pipeline.vae, denoise(pipeline, noise, text, options));
  });
  return at::cat(parts);
}

ExamResult examine(const diffusion::Pipeline& pipeline,
                   const ExamSet& set,
                   const ExamOptions& options) {
  ExamResult result;
  result.images = sample_prompts(pipeline, set.prompts, options);
  const double share = 1.0 / static_cast<double>(set.prompts.size());
  for (const auto& match : world::caption_matches(result.images, set.prompts)) {
    result.exact += match.exact ? share : 0.0;
    result.fraction += match.fraction * share;
  }
  return result;
}

std::vector<ExamSet> world_exams(int64_t count) {
  std::vector<ExamSet> sets{{"seen", {}}, {"unseen", {}}};
  for (auto& set : sets) {
    const auto all =
        world::all_captions(set.name == "seen" ? world::Split::kSeen : world::Split::kUnseen);
    auto generator = at::detail::createCPUGenerator(kExamSeed);
    const at::Tensor order = at::randperm(static_cast<int64_t>(all.size()), generator, at::kLong);
    const int64_t size = std::min<int64_t>(count, order.size(0));
    for (int64_t i = 0; i < size; ++i) set.prompts.push_back(all[order[i].item<int64_t>()]);
  }
  return sets;
}

}  // namespace finetune
