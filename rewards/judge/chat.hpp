#pragma once

// A conversation in words with a language model, over the chat API of rewards/judge/client.hpp.

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "rewards/judge/client.hpp"

namespace rewards {

struct ChatMessage {
  std::string role;  // "system", "user" or "assistant"
  std::string content;
};

// The first line of what `laurel write-reward` tells the model, by which a simulated one knows it.
inline constexpr const char* kFormulaTask =
    "You write a reward for pictures: a formula over facts that are measured on each picture.";

// The body of POST /v1/chat/completions: temperature 0, at most 1,024 tokens of answer.
nlohmann::ordered_json chat_request(const std::vector<ChatMessage>& messages,
                                    const std::string& model,
                                    int64_t seed);

// Whom a conversation is with, and what was learnt about how to ask there.
struct ChatPartner {
  JudgeTransport transport;
  JudgeClock clock;
  std::function<void(const std::string& line)> say;
  int64_t retries = 5;         // after 429, 5xx, or no answer
  double backoff_seconds = 1;  // before the first; doubles, at most a minute
  ChatDialect dialect{};
};
// The text of the answer to `body`; "" where the server answers without one. It is asked again
// after a parameter that it refuses, with more room where the answer was cut off, and after faults
// that pass. Throws JudgeStopped where the server refuses, or the faults stay.
std::string chat_answer(ChatPartner& partner, const nlohmann::ordered_json& body);

}  // namespace rewards
