#include "rewards/world/simulated_formula_writer.hpp"

#include <array>
#include <nlohmann/json.hpp>

#include "data/base/json.hpp"
#include "rewards/judge/chat.hpp"

using nlohmann::json;

namespace rewards {
namespace {

struct KnownWord {
  const char* word;
  const char* term;  // of about unit spread on ordinary pictures
};
constexpr std::array kKnownWords{
    KnownWord{"bright", "5*brightness"},        KnownWord{"dark", "-5*brightness"},
    KnownWord{"colourful", "colourfulness/30"}, KnownWord{"grey", "-colourfulness/30"},
    KnownWord{"calm", "5*empty_share"},         KnownWord{"busy", "-5*empty_share"},
    KnownWord{"warm", "5*warm_share"},          KnownWord{"cold", "-5*warm_share"},
    KnownWord{"symmetric", "10*symmetry"},      KnownWord{"sharp", "50*sharpness"},
};

std::string content_of(const json& message) {
  const json content = message.is_object() ? message.value("content", json()) : json();
  return content.is_string() ? content.get<std::string>() : "";
}

}  // namespace

std::optional<std::string> wish_in(const json& body) {
  const json messages = body.is_object() ? body.value("messages", json()) : json();
  if (!messages.is_array() || messages.size() < 2 ||
      !content_of(messages[0]).starts_with(kFormulaTask))
    return std::nullopt;
  return content_of(messages[1]);
}

std::string formula_answer(const std::string& wish) {
  std::string formula, words;
  for (const auto& known : kKnownWords) {
    if (wish.find(known.word) == std::string::npos) continue;
    formula += (formula.empty() ? "" : " + ") + std::string(known.term);
    words += (words.empty() ? "" : ", ") + std::string(known.word);
  }
  if (formula.empty()) return "As a large model I love pictures.";
  return data::to_text(
      nlohmann::ordered_json{{"formula", formula}, {"sentence", "pictures that are " + words}});
}

}  // namespace rewards
