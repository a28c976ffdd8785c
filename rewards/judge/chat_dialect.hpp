#pragma once

// Servers of the chat API differ in the parameters that they take. What a refusal names as unknown
// is left out of later requests, or renamed, or lowered.

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <set>
#include <string>

#include "data/system/http.hpp"

namespace rewards {

struct ChatDialect {
  std::set<std::string> left_out;      // parameters
  int64_t top_logprobs = 20;           // alternatives of a token
  bool max_completion_tokens = false;  // its name of max_tokens
  int64_t least_tokens = 0;            // of an answer; more once thoughts left no room for it
  bool operator==(const ChatDialect&) const = default;
};

// The body as the server takes it.
nlohmann::ordered_json in_dialect(const ChatDialect& dialect, nlohmann::ordered_json body);

// Changes the dialect as a refusal (400, 422) of `body` asks for. Returns what was changed, for the
// user; "" where the refusal names no parameter that can go, or is about the question's contents.
std::string adapt(ChatDialect& dialect,
                  const data::HttpReply& refusal,
                  const nlohmann::ordered_json& body);

// Makes room for thoughts where a reply without a usable answer was cut off. Returns what was
// changed, "" where nothing was.
std::string make_room(ChatDialect& dialect, const std::string& reply_body);

// Whether the server's filter of contents refused this question.
bool is_filtered(const data::HttpReply& refusal);
// Whether it refuses this question alone; else it would refuse every other too (401, 404, ..).
bool refuses_question(const data::HttpReply& reply);
// Whether the same request may be answered later: 408, 429, 5xx, no answer.
bool is_worth_a_retry(const data::HttpReply& reply);
// The status and the beginning of the body, or why there is none.
std::string described(const data::HttpReply& reply);

}  // namespace rewards
