#pragma once

// A reward that an HTTP server computes. It is not differentiable. An image that it cannot rate
// gets NaN: missing, not worst.

#include <string>

#include "data/system/http.hpp"
#include "rewards/loader/entry.hpp"
#include "rewards/loader/sources.hpp"

namespace rewards {

// One request a batch: {"prompts": [...], "images": ["<base64 PNG>", ...]} -> {"scores": [1.5,
// null, ...]}, null or NaN for an image that it cannot rate. After 429, 5xx, a broken connection or
// an answer of another form the request is repeated with growing waits (or after Retry-After), with
// a message on stderr, until options.patience ends. Another 4xx throws BadInput at once.
Reward http_reward(const std::string& name, const data::Url& url, const ExternalOptions& options);

extern const FamilyEntry kHttpFamily;  // NAME=http://..., NAME=https://...

}  // namespace rewards
