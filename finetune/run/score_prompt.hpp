#pragma once

// Prompts that ask for a score: a network that was trained on pictures with their scores in the
// text draws pictures of the score that it is asked for.

#include <cstdint>
#include <string>

namespace finetune {

inline constexpr int64_t kLowestScore = 1, kHighestScore = 10;

// "score 7": the words that ask for it.
std::string score_words(int64_t score);
// "score 7, a red circle": what text encoders read. The words come first, because encoders cut the
// end of long prompts.
std::string score_prompt(int64_t score, const std::string& text);

// The value of a training's option `condition` whose prompts ask for scores.
inline constexpr const char* kScoreCondition = "scores";

}  // namespace finetune
