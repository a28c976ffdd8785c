#pragma once

// A student small enough for tests, and embeddings for it.

#include <ATen/ATen.h>

#include "rewards/judge_student/student.hpp"

inline at::Tensor unit(const at::Tensor& x) { return x / x.norm(2, {-1}, true); }

inline rewards::StudentConfig tiny_student_config() {
  return {.axes = {"alignment", "overall"},
          .embedding = 6,
          .hidden = 24,
          .members = 3,
          .clip_digest = "00"};
}
