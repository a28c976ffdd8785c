#include "rewards/judge_student/reward.hpp"

#include <ATen/ATen.h>

#include "data/base/error.hpp"
#include "rewards/judge_student/files.hpp"
#include "rewards/loader/loader.hpp"

namespace rewards {

Reward judge_student_reward(const std::shared_ptr<ClipEmbedder>& clip,
                            const JudgeStudent& student) {
  JudgeStudent here = student;
  for_each_tensor(here, "", [&](const std::string&, at::Tensor& tensor) {
    tensor = tensor.to(clip->device());
  });
  const auto scores = [clip, here](const RewardBatch& batch) {
    TORCH_CHECK(static_cast<int64_t>(batch.prompts.size()) == batch.images.size(0),
                "lvlm: expected a prompt for each of ", batch.images.size(0), " images, got ",
                batch.prompts.size());
    const at::Tensor images = clip->images(batch.images), texts = clip->texts(batch.prompts);
    return student_scores(here, images, texts);
  };
  const auto score = [scores](const RewardBatch& batch) {
    return scores(batch).score.to(batch.images.device());
  };
  const auto disagreement = [scores](const RewardBatch& batch) {
    return scores(batch).epistemic.mean(1).to(batch.images.device());
  };
  return {.info = kJudgeStudentEntry.info, .score = score, .disagreement = disagreement};
}

Reward judge_student_reward(const std::shared_ptr<ClipEmbedder>& clip,
                            const std::filesystem::path& clip_folder,
                            const std::filesystem::path& folder) {
  const JudgeStudent student = load_student(folder);
  if (student.config.clip_digest != clip_digest(clip_folder))
    throw data::BadInput(folder.string() + ": this student was trained on another CLIP than " +
                         clip_folder.string() + "; name that one (--clip)");
  return judge_student_reward(clip, student);
}

std::filesystem::path student_clip_folder(const std::filesystem::path& student) {
  return student / "clip";
}

namespace {

constexpr WeightsOption kStudentWeights{
    .flag = "lvlm",
    .help = "student of a judge, for that CLIP",
    .embedded = "rewards/lvlm",
    .missing = "a student trained by `laurel train-reward lvlm`; name its folder (--lvlm FOLDER)"};

Reward make(RewardLoader& loader) {
  const auto& folder = loader.weights(kStudentWeights);
  const auto& sources = loader.sources();
  const auto own = student_clip_folder(folder);
  if (!std::filesystem::exists(own))
    return judge_student_reward(loader.clip(), sources.clip, folder);
  return judge_student_reward(load_clip_embedder(own, sources.device), own, folder);
}

}  // namespace

const RewardEntry kJudgeStudentEntry{
    .info = {.name = "lvlm",
             .unit = "0-1",
             .low = 0,
             .high = 1,
             .needs_prompt = true,
             .differentiable = true,
             .description = "what a vision-language judge would say, by its student"},
    .weights = kStudentWeights,
    .reads_clip = true,
    .make = make};

}  // namespace rewards
