#pragma once

// The student of a judge as a reward.

#include <filesystem>
#include <memory>

#include "rewards/clip/embedder.hpp"
#include "rewards/judge_student/student.hpp"
#include "rewards/loader/entry.hpp"

namespace rewards {

// `clip` must be the one that the student was trained on.
Reward judge_student_reward(const std::shared_ptr<ClipEmbedder>& clip, const JudgeStudent& student);
// Throws BadInput when the student was trained on another CLIP than that of `clip_folder`, which
// `clip` was loaded from.
Reward judge_student_reward(const std::shared_ptr<ClipEmbedder>& clip,
                            const std::filesystem::path& clip_folder,
                            const std::filesystem::path& student);
// The subfolder of the CLIP that was tuned with a student; it may not exist.
std::filesystem::path student_clip_folder(const std::filesystem::path& student);

extern const RewardEntry kJudgeStudentEntry;

}  // namespace rewards
