#pragma once

// A student's folder.

#include <filesystem>
#include <string>

#include "rewards/judge_student/student.hpp"

namespace rewards {

// A folder with model.safetensors and reward.json. Throws BadInput for files that do not fit.
JudgeStudent load_student(const std::filesystem::path& folder);
void save_student(const std::filesystem::path& folder, const JudgeStudent& w, at::ScalarType dtype);

// SHA-256 of the CLIP's weights, as StudentConfig::clip_digest.
std::string clip_digest(const std::filesystem::path& folder);

}  // namespace rewards
