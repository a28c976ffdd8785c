#include "finetune/edit/evaluate.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "diffusion/pipeline/generate.hpp"
#include "diffusion/sampling/random_noise.hpp"

namespace finetune {
namespace {

constexpr int64_t kLevels = 4;  // of noise, at which an edit's denoising is measured

EncodedEdits first_of(const EncodedEdits& set, int64_t count) {
  const auto end = static_cast<std::ptrdiff_t>(count);
  return {set.source.slice(0, 0, count),
          set.mean.slice(0, 0, count),
          set.std.slice(0, 0, count),
          set.scores.slice(0, 0, count),
          {set.instructions.begin(), set.instructions.begin() + end},
          {set.feedback.begin(), set.feedback.begin() + end}};
}

EncodedEdits joined(EncodedEdits a, const EncodedEdits& b) {
  a.source = at::cat({a.source, b.source});
  a.mean = at::cat({a.mean, b.mean});
  a.std = at::cat({a.std, b.std});
  a.scores = at::cat({a.scores, b.scores});
  a.instructions.insert(a.instructions.end(), b.instructions.begin(), b.instructions.end());
  a.feedback.insert(a.feedback.end(), b.feedback.begin(), b.feedback.end());
  return a;
}

// Some items of the set, as a batch of whole edits: nothing is left out.
struct Part {
  std::vector<TrainingPrompt> instructions;
  std::vector<at::Generator> generators;
  at::Tensor noise;  // [B, C, h, w], each item's first draw
  EditBatch batch;   // t and noise undefined
};

Part part_of(const TrainingTask& task,
             const EditExam& exam,
             const EvalSet& set,
             int64_t start,
             int64_t count) {
  Part part;
  std::vector<int64_t> rows;
  std::vector<uint64_t> seeds;
  for (int64_t i = start; i < start + count; ++i) {
    const EvalItem& item = set.items[static_cast<size_t>(i)];
    rows.push_back(item.prompt_id);
    seeds.push_back(item.seed);
    part.instructions.push_back(item.prompt);
  }
  part.generators = diffusion::image_generators(seeds);
  part.noise = diffusion::draw_noise(part.generators, task.latent_shape, task.device);
  const at::Tensor all = at::tensor(rows, at::kLong), none = at::zeros({count}, at::kBool);
  const EditDraw draw{all,
                      {none, none, none, at::zeros({count, exam.edits.scores.size(1)}, at::kBool)},
                      at::zeros_like(part.noise, at::kCPU),
                      all,
                      none,
                      part.noise};
  part.batch = edit_batch(exam.edits, draw, exam.texts, task.device);
  return part;
}

at::Tensor draw_images(const TrainingTask& task,
                       const EditExam& exam,
                       Part& part,
                       const diffusion::Network& unet,
                       const EditConfig& config) {
  const int64_t count = part.noise.size(0);
  const auto& axes = diffusion::reward_config(unet).axes;
  diffusion::Conditioning conditions;
  conditions.text.hidden = part.batch.hidden;
  conditions.negative.hidden =
      exam.texts.hidden(std::vector<std::string>(static_cast<size_t>(count))).to(task.device);
  conditions.image_latents = part.batch.source;
  conditions.reward.scores = at::full({count, static_cast<int64_t>(axes.size())},
                                      diffusion::reward_config(unet).highest, part.noise.options());
  conditions.reward.valid = conditions.reward.scores.isfinite();
  const auto denoiser = diffusion::guided_denoiser(
      unet, conditions,
      {.scale = config.guidance_scale, .image_scale = config.image_guidance_scale});
  return decode(task, diffusion::sample(denoiser, part.noise, exam.schedule, part.generators,
                                        {.steps = config.eval_steps}));
}

// Minus the loss, over levels of noise in the middle of equal stretches. -> [B]
at::Tensor denoising(const EditExam& exam, Part& part, const diffusion::Network& unet) {
  const int64_t count = part.noise.size(0), steps = exam.schedule.config.num_train_timesteps;
  at::Tensor sum;
  part.batch.noise = part.noise;
  for (int64_t level = 0; level < kLevels; ++level) {
    part.batch.t = at::full({count}, (2 * level + 1) * steps / (2 * kLevels),
                            part.noise.options().dtype(at::kLong));
    const at::Tensor errors = edit_errors(unet, exam.schedule, part.batch);
    sum = sum.defined() ? sum + errors : errors;
  }
  return (sum / -kLevels).to(at::kCPU, at::kDouble);
}

}  // namespace

EditExam make_edit_exam(const TrainingTask& task, const EditData& data, const EditConfig& config) {
  return {joined(first_of(data.train, std::min(config.eval_prompts, data.train.size())),
                 first_of(data.held_out, std::min(config.eval_prompts, data.held_out.size()))),
          data.texts, diffusion::make_schedule(task.pipeline->scheduler)};
}

std::vector<std::string> edit_score_names(const TrainingTask& task) {
  std::vector<std::string> names = reward_names(task);
  names.push_back("denoising");
  return names;
}

Evaluation evaluate_edits(const TrainingTask& task,
                          const EditExam& exam,
                          const EvalSet& set,
                          const diffusion::Network& unet,
                          const EditConfig& config) {
  const at::NoGradGuard no_gradient;
  std::vector<at::Tensor> scores, pictures;
  const auto total = static_cast<int64_t>(set.items.size());
  for (int64_t start = 0; start < total; start += config.sample_batch_size) {
    Part part = part_of(task, exam, set, start, std::min(config.sample_batch_size, total - start));
    const at::Tensor images = draw_images(task, exam, part, unet, config);
    scores.push_back(at::cat({score_images(task.eval_rewards, images, part.instructions),
                              denoising(exam, part, unet).unsqueeze(1)},
                             1));
    pictures.push_back(images.cpu());
  }
  const at::Tensor images = at::cat(pictures);
  return {at::cat(scores),
          at::zeros({total, 0}, at::kDouble),
          at::zeros({0}, at::kDouble),
          images.flatten(1),
          images,
          edit_score_names(task)};
}

}  // namespace finetune
