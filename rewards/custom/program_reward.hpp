#pragma once

// A reward that a program computes. It is not differentiable. An image that it cannot rate gets
// NaN: missing, not worst.

#include <string>

#include "rewards/loader/entry.hpp"
#include "rewards/loader/sources.hpp"

namespace rewards {

// `command` is run by /bin/sh `workers` times. Each image is one line to it,
//   {"id": 7, "prompt": "...", "png": "<base64>"}
// and it answers, in a line, {"id": 7, "score": 1.5}, or {"id": 7, "error": "..."} when it cannot
// rate this image (or a score of NaN or null). Other lines are ignored. A program that dies,
// answers in another form or is late is restarted and asked once more. An image that fails twice is
// missing; three such images in a row are an error.
Reward program_reward(const std::string& name,
                      const std::string& command,
                      const ExternalOptions& options);

extern const FamilyEntry kProgramFamily;  // NAME=program:COMMAND

}  // namespace rewards
