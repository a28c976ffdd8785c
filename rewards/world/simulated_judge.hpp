#pragma once

// A stand-in for a vision-language model, for the built-in world: it reads the pixels with a part
// of the oracle and answers as such a model's server does, with the faults of one. Synthetic, for
// tests and demonstrations; it knows nothing of other pictures.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

#include "data/system/http.hpp"

namespace rewards {

struct WorldJudge {
  double noise = 0.6;          // deviation of a level (1 to 5) from one seed to another
  double uncertainty = 0.5;    // deviation of the levels that it spreads its probability over
  double position_bias = 0.5;  // log-odds that it favours the first of two images by
  bool constraints = true;     // takes structured_outputs; else refuses it with 400
  std::string name = "world-judge";
};

// What it thinks of an image, before noise: [0, 1].
//   alignment  the share of the claims about count, shape and colour that hold (oracle_objects)
//   quality    0.6 clarity + 0.4 contrast of rewards/world/rater_preference.hpp
//   overall    0.6 alignment + 0.4 quality
double world_judgement(const std::string& axis, const at::Tensor& image, const std::string& prompt);

// Answers GET /v1/models, /health and POST /v1/chat/completions, whose text must be laurel's
// (rewards/judge/question.hpp). The same request gets the same answer.
data::HttpReply world_judge_reply(const WorldJudge& judge, const data::HttpRequest& request);

}  // namespace rewards
