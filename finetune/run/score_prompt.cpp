#include "finetune/run/score_prompt.hpp"

namespace finetune {

std::string score_words(int64_t score) { return "score " + std::to_string(score); }

std::string score_prompt(int64_t score, const std::string& text) {
  return score_words(score) + ", " + text;
}

}  // namespace finetune
