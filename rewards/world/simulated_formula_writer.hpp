#pragma once

// Answers to `laurel write-reward` in place of a language model, for tests and demonstrations. It
// knows a few words and understands nothing.

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

namespace rewards {

// The wish of a request of laurel's (rewards/judge/chat.hpp); none: it is another request.
std::optional<std::string> wish_in(const nlohmann::json& body);

// {"formula", "sentence"}: the sum of a term for each word of the wish that it knows (bright, dark,
// colourful, grey, calm, busy, warm, cold, symmetric, sharp); a sentence where it knows none.
std::string formula_answer(const std::string& wish);

}  // namespace rewards
