#pragma once

#include "rewards/judge_student/student.hpp"
#include "rewards/judge_student/train.hpp"

namespace rewards {

// Fits the temperature of each axis, and its gain where there are pairs, on held-out judgements:
// the value of a grid with the smallest negative log-likelihood.
void calibrate(JudgeStudent& student, const StudentData& held_out);

}  // namespace rewards
