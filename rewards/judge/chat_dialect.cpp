#include "rewards/judge/chat_dialect.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <nlohmann/json.hpp>
#include <string_view>
#include <vector>

#include "data/base/json.hpp"
#include "data/unicode/utf8.hpp"

using nlohmann::json;
using nlohmann::ordered_json;

namespace rewards {
namespace {

constexpr size_t kLongestMessage = 8192;  // bytes that are searched

// What a question can be asked without.
constexpr std::array<std::string_view, 11> kParameters = {
    "max_tokens", "logprobs",      "top_logprobs",         "response_format",
    "seed",       "guided_choice", "structured_outputs",   "top_p",
    "stream",     "temperature",   "max_completion_tokens"};

constexpr std::array<std::string_view, 6> kBounds = {"must be",      "at most", "less than",
                                                     "greater than", "maximum", "max allowed"};
constexpr std::array<std::string_view, 17> kUnknown = {
    "unsupported",     "not support",   "unrecognized",  "unrecognised",   "unknown",
    "unexpected",      "not permitted", "not allowed",   "forbidden",      "additional properties",
    "extra fields",    "invalid",       "not available", "not recognized", "not accept",
    "not implemented", "not a valid"};
constexpr std::array<std::string_view, 10> kFiltered = {
    "content_filter", "content filter",  "content_policy",
    "content policy", "responsibleai",   "content management policy",
    "safety system",  "data_inspection", "moderation",
    "contentpolicy"};

// About the length of the question: a parameter less would not help.
constexpr std::array<std::string_view, 5> kTooLong = {
    "context length", "context window", "context_length", "maximum context", "too long"};

std::string in_lower_case(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(c < 0x80 ? std::tolower(c) : c); });
  return text;
}

template <size_t N>
bool holds_any(const std::string& text, const std::array<std::string_view, N>& words) {
  return std::any_of(words.begin(), words.end(),
                     [&](std::string_view word) { return text.find(word) != std::string::npos; });
}

// Where `word` stands in the text with no letter, digit or _ beside it; npos: nowhere.
size_t find_word(const std::string& text, std::string_view word) {
  const auto belongs = [&](size_t at) {
    return at < text.size() &&
           (std::isalnum(static_cast<unsigned char>(text[at])) || text[at] == '_');
  };
  size_t at = text.find(word);
  while (at != std::string::npos && ((at > 0 && belongs(at - 1)) || belongs(at + word.size())))
    at = text.find(word, at + 1);
  return at;
}

// error.param, where the server gives it.
std::string named_parameter(const json& reply) {
  const json error = reply.is_object() ? reply.value("error", json()) : json();
  const json param = error.is_object() ? error.value("param", json()) : json();
  if (!param.is_string()) return "";
  const std::string name = param.get<std::string>();
  return name.substr(name.rfind('.') + 1);
}

// The parameter of `body` that the refusal complains of.
std::string culprit(const data::HttpReply& refusal, const ordered_json& body) {
  const std::string named = named_parameter(data::parse_json(refusal.body));
  const auto is_known = [&](std::string_view name) {
    return std::find(kParameters.begin(), kParameters.end(), name) != kParameters.end() &&
           body.contains(std::string(name));
  };
  if (is_known(named)) return named;
  const std::string text = in_lower_case(refusal.body.substr(0, kLongestMessage));
  if (!(holds_any(text, kUnknown) || holds_any(text, kBounds)) || holds_any(text, kTooLong))
    return "";
  std::string first;
  size_t place = std::string::npos;
  for (const auto& name : kParameters) {
    const size_t at = is_known(name) ? find_word(text, name) : std::string::npos;
    if (at >= place) continue;
    place = at;
    first = name;
  }
  return first;
}

// The largest number that the message allows for top_logprobs; 0: it names none below `now`.
int64_t named_limit(const std::string& message, int64_t now) {
  int64_t limit = 0;
  for (size_t at = 0; at < std::min(message.size(), kLongestMessage);) {
    int64_t number = 0;
    const auto [stop, error] =
        std::from_chars(message.data() + at, message.data() + message.size(), number);
    const size_t end = static_cast<size_t>(stop - message.data());
    const bool starts = at == 0 || !std::isalnum(static_cast<unsigned char>(message[at - 1]));
    if (error == std::errc() && starts && number > 0 && number < now)
      limit = std::max(limit, number);
    at = std::max(end, at + 1);
  }
  return limit;
}

}  // namespace

ordered_json in_dialect(const ChatDialect& dialect, ordered_json body) {
  if (body.contains("max_tokens"))
    body["max_tokens"] = std::max(dialect.least_tokens, body["max_tokens"].get<int64_t>());
  if (body.contains("top_logprobs")) body["top_logprobs"] = dialect.top_logprobs;
  if (dialect.max_completion_tokens && body.contains("max_tokens")) {
    body["max_completion_tokens"] = body["max_tokens"];
    body.erase("max_tokens");
  }
  for (const auto& name : dialect.left_out) body.erase(name);
  return body;
}

std::string adapt(ChatDialect& dialect, const data::HttpReply& refusal, const ordered_json& body) {
  if (is_filtered(refusal)) return "";
  const std::string name = culprit(refusal, body);
  if (name.empty()) return "";
  const std::string says = "the judge does not take " + name + "; asking ";
  if (name == "max_tokens" &&
      find_word(refusal.body, "max_completion_tokens") != std::string::npos) {
    dialect.max_completion_tokens = true;
    return says + "with max_completion_tokens";
  }
  if (name == "top_logprobs" || name == "logprobs") {
    const bool bounded = holds_any(in_lower_case(refusal.body.substr(0, kLongestMessage)), kBounds);
    const int64_t limit = bounded ? named_limit(refusal.body, dialect.top_logprobs) : 0;
    if (limit > 0) {
      dialect.top_logprobs = limit;
      return "the judge gives fewer alternatives of a token; asking for " + std::to_string(limit);
    }
    dialect.left_out.insert({"logprobs", "top_logprobs"});  // one is of no use without the other
  }
  dialect.left_out.insert(name);
  return says + "without it";
}

std::string make_room(ChatDialect& dialect, const std::string& reply_body) {
  constexpr int64_t kRoom = 4096;
  const json reply = data::parse_json(reply_body);
  const json choices = reply.is_object() ? reply.value("choices", json()) : json();
  const bool cut_off = choices.is_array() && !choices.empty() && choices[0].is_object() &&
                       choices[0].value("finish_reason", json()) == "length";
  if (!cut_off || dialect.least_tokens == kRoom) return "";
  dialect.least_tokens = kRoom;
  return "an answer was cut off before it came to the point; asking with room for " +
         std::to_string(kRoom) + " tokens";
}

bool is_filtered(const data::HttpReply& refusal) {
  return holds_any(in_lower_case(refusal.body.substr(0, kLongestMessage)), kFiltered);
}

bool refuses_question(const data::HttpReply& reply) {
  constexpr std::array<int, 6> kOfAll = {401, 402, 403, 404, 405, 410};
  if (!data::is_refusal(reply.status) || reply.status < 400) return false;
  return is_filtered(reply) ||
         std::find(kOfAll.begin(), kOfAll.end(), reply.status) == kOfAll.end();
}

bool is_worth_a_retry(const data::HttpReply& reply) {
  return reply.status == 0 || (reply.status >= 400 && !data::is_refusal(reply.status));
}

std::string described(const data::HttpReply& reply) {
  return reply.status == 0
             ? reply.error
             : "status " + std::to_string(reply.status) + ": " + data::shortened(reply.body, 200);
}

}  // namespace rewards
