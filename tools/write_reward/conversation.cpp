#include "tools/write_reward/conversation.hpp"

#include <nlohmann/json.hpp>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/json.hpp"

namespace fs = std::filesystem;

namespace tools {
namespace {

constexpr uintmax_t kLargestConversation = uintmax_t{16} << 20;

bool is_role(const nlohmann::json& value) {
  return value == "system" || value == "user" || value == "assistant";
}

}  // namespace

Conversation::Conversation(fs::path file) : file_(std::move(file)) {
  if (!fs::exists(file_)) return;
  if (fs::is_regular_file(file_) && fs::file_size(file_) > kLargestConversation)
    throw data::BadInput(file_.string() + ": expected a conversation of at most 16 MB");
  data::for_each_line(file_, [&](const std::string& text, const std::string& where) {
    const auto line = data::parse_json(text);
    const bool is_message = line.is_object() && is_role(line.value("role", nlohmann::json())) &&
                            line.value("content", nlohmann::json()).is_string();
    if (!is_message)
      throw data::BadInput(where +
                           ": expected a message, {\"role\": .., \"content\": ..}; name a "
                           "new file");
    messages_.push_back({line["role"].get<std::string>(), line["content"].get<std::string>()});
  });
}

void Conversation::add(const std::string& role, const std::string& content) {
  messages_.push_back({role, content});
  std::string lines;
  for (const auto& message : messages_)
    lines += data::to_text(
                 nlohmann::ordered_json{{"role", message.role}, {"content", message.content}}) +
             "\n";
  data::write_file(file_, lines);
}

}  // namespace tools
