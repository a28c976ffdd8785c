#pragma once

// The student of a judge as a reward.

#include <filesystem>
#include <memory>

#include "rewards/clip/embedder.hpp"
#include "rewards/judge_student/student.hpp"
#include "rewards/loader/entry.hpp"

namespace rewards {

// The CLIP must be the one that the student was trained on.
Reward lvlm_reward(const std::shared_ptr<ClipEmbedder>& clip, const LvlmStudent& student);
// Throws BadInput when the student was trained on another CLIP than that of `clip_folder`, which
// `clip` was loaded from.
Reward lvlm_reward(const std::shared_ptr<ClipEmbedder>& clip,
                   const std::filesystem::path& clip_folder,
                   const std::filesystem::path& student);
// Where a student keeps the CLIP that was trained with it.
std::filesystem::path lvlm_clip_folder(const std::filesystem::path& student);

extern const RewardEntry kJudgeStudentEntry;

}  // namespace rewards
