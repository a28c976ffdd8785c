#pragma once

// Rewards that are computed outside this process: by a program, or by an HTTP server. Neither is
// differentiable. An image that could not be rated gets NaN: missing, not worst.

#include <string>

#include "data/system/http.hpp"
#include "rewards/reward.hpp"

namespace rewards {

struct OutsideOptions {
  int64_t workers = 1;      // programs or connections at once
  double seconds = 120;     // for the answer about one image (a program), one request (a server)
  double patience = 3600;   // how long a server that answers nonsense, or not at all, is waited for
  double first_wait = 1.0;  // before the first repetition; doubles up to a minute
  bool any_host = false;    // else only servers on this machine
};

// `command` is run by /bin/sh `workers` times. Each image is one line to it,
//   {"id": 7, "prompt": "...", "png": "<base64>"}
// and it answers, in a line, {"id": 7, "score": 1.5}, or {"id": 7, "error": "..."} when it cannot
// rate this image. A program that dies, answers something else or is late is started anew and asked
// once more; an image that fails twice is missing, three such images in a row are an error.
Reward program_reward(const std::string& name,
                      const std::string& command,
                      const OutsideOptions& options);

// One request a batch: {"prompts": [...], "images": ["<base64 PNG>", ...]} -> {"scores": [1.5,
// null, ...]}, null for an image that it cannot rate. 429, 5xx, a broken connection and an answer
// of another form are repeated with growing waits (or as long as Retry-After asks), and said on
// stderr, until patience ends; another 4xx is BadInput at once.
Reward http_reward(const std::string& name, const data::Url& url, const OutsideOptions& options);

}  // namespace rewards
