#pragma once

// A question for a judge, and replies as chat servers write them.

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "data/base/json.hpp"
#include "rewards/judge/question.hpp"

namespace judge_replies {

inline std::filesystem::path fresh_file(const std::string& name) {
  const auto path = std::filesystem::path(testing::TempDir()) /
                    ("laurel_judge" + std::to_string(getpid())) / name;
  std::filesystem::remove(path);
  std::filesystem::create_directories(path.parent_path());
  return path;
}

inline rewards::JudgeQuestion question(size_t images = 1) {
  return {.axis = rewards::judge_axis("alignment"),
          .prompt = "a red circle",
          .images = std::vector<std::string>(images, "pixels")};
}

// A reply whose first token has these alternatives.
inline std::string reply_of(const std::vector<std::pair<std::string, double>>& probabilities,
                            const std::string& text = "4") {
  nlohmann::json top = nlohmann::json::array();
  for (const auto& [token, p] : probabilities)
    top.push_back({{"token", token}, {"logprob", std::log(p)}});
  nlohmann::json choice{{"message", {{"content", text}}}};
  if (!top.empty())
    choice["logprobs"] = {
        {"content", nlohmann::json::array({{{"token", text}, {"top_logprobs", top}}})}};
  return data::to_text(nlohmann::json{{"choices", nlohmann::json::array({choice})},
                                      {"usage", {{"total_tokens", 100}}}});
}
inline std::string reply_in_words(const std::string& text) { return reply_of({}, text); }

}  // namespace judge_replies
