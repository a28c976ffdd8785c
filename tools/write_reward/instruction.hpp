#pragma once

// What the language model is told, after Text2Reward (Xie et al. 2023) and Language to Rewards (Yu
// et al. 2023): a compact description of what can be measured, worked examples, the wish.

#include <string>

#include "tools/write_reward/feedback.hpp"
#include "tools/write_reward/picture_facts.hpp"

namespace tools {

// The system's text: how to answer, the formulas, the facts with their quantiles on the pictures,
// why a formula is refused, two examples.
std::string writing_instruction(PictureFacts& pictures);

// The facts of both pictures, a line each: "Picture 3: brightness 0.31, contrast 0.12".
std::string facts_of_pair(PictureFacts& pictures, const PreferredPicture& pair);

}  // namespace tools
