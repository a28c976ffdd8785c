#include "rewards/judge/chat.hpp"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "data/base/json.hpp"
#include "rewards/judge/answer_text.hpp"

using nlohmann::ordered_json;

namespace rewards {
namespace {

constexpr double kLongestChatBackoff = 60;  // seconds

// The reply with status 200.
data::HttpReply chat_reply(ChatPartner& partner, const ordered_json& body) {
  for (int64_t attempt = 0;;) {
    const auto reply = partner.transport(data::to_text(in_dialect(partner.dialect, body)));
    if (reply.status == 200) return reply;
    if (refuses_question(reply)) {
      const std::string said = adapt(partner.dialect, reply, in_dialect(partner.dialect, body));
      if (said.empty()) throw JudgeStopped("the server refuses the question: " + described(reply));
      partner.say(said);
      continue;
    }
    if (!is_worth_a_retry(reply) || attempt >= partner.retries)
      throw JudgeStopped("the server gives no answer: " + described(reply));
    const double grown = partner.backoff_seconds * std::pow(2.0, static_cast<double>(attempt++));
    partner.clock.sleep(
        data::wait_before_retry(reply, std::min(grown, kLongestChatBackoff), kLongestChatBackoff));
  }
}

}  // namespace

ordered_json chat_request(const std::vector<ChatMessage>& messages,
                          const std::string& model,
                          int64_t seed) {
  ordered_json list = ordered_json::array();
  for (const auto& message : messages)
    list.push_back({{"role", message.role}, {"content", message.content}});
  return {{"model", model},
          {"messages", list},
          {"temperature", 0},
          {"seed", seed},
          {"max_tokens", 1024}};
}

std::string chat_answer(ChatPartner& partner, const ordered_json& body) {
  for (;;) {
    const auto reply = chat_reply(partner, body);
    const auto text = chat_text(data::parse_json(reply.body));
    const std::string said = make_room(partner.dialect, reply.body);
    if (said.empty()) return text.value_or("");
    partner.say(said);
  }
}

}  // namespace rewards
