#pragma once

// What was said, kept in a file: JSONL, a message a line, {"role", "content"}.

#include <filesystem>
#include <string>
#include <vector>

#include "rewards/judge/chat.hpp"

namespace tools {

class Conversation {
 public:
  // Reads what the file holds, if it is there. Throws BadInput, naming the line, for one that is no
  // message, and for a file above 16 MB.
  explicit Conversation(std::filesystem::path file);

  const std::vector<rewards::ChatMessage>& messages() const { return messages_; }
  // Writes the file anew.
  void add(const std::string& role, const std::string& content);

 private:
  std::filesystem::path file_;
  std::vector<rewards::ChatMessage> messages_;
};

}  // namespace tools
