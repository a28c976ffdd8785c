#pragma once

// A simulated vision-language judge of the built-in world, for tests and demonstrations. It reads
// the pixels with a part of the oracle and answers like the server of such a model, with noise,
// position bias and refusals. It cannot judge other images.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

#include "data/system/http_server.hpp"

namespace rewards {

struct WorldJudge {
  double noise = 0.6;          // standard deviation of a level (1 to 5) between seeds
  double uncertainty = 0.5;    // standard deviation of its distribution over levels
  double position_bias = 0.5;  // log-odds in favour of the first of two images
  bool constraints = true;     // accepts structured_outputs; else refuses it with 400
  std::string name = "world-judge";
};

// The noise-free score of an image on an axis, [0, 1].
//   alignment  the share of the claims about count, shape and colour that hold (oracle_objects)
//   quality    0.6 clarity + 0.4 contrast of rewards/world/rater_preference.hpp
//   overall    0.6 alignment + 0.4 quality
double world_judgement(const std::string& axis, const at::Tensor& image, const std::string& prompt);

// A standard normal number from the hash of a text (Box and Muller).
double normal_of(const std::string& text);

// Answers GET /v1/models, /health and POST /v1/chat/completions, whose text must be laurel's
// (rewards/judge/question.hpp, rewards/judge/edit_judge.hpp, rewards/judge/chat.hpp). Equal
// requests get equal answers.
data::HttpReply world_judge_reply(const WorldJudge& judge, const data::HttpRequest& request);

}  // namespace rewards
