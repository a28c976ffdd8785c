#pragma once

// The loop of Text2Reward (Xie et al. 2023): a model writes a formula, which is tried on the user's
// pictures and sent back with what is wrong, or with what a person says.

#include <ATen/core/Tensor.h>

#include <functional>
#include <optional>
#include <string>

#include "tools/write_reward/conversation.hpp"
#include "tools/write_reward/feedback.hpp"
#include "tools/write_reward/picture_facts.hpp"

namespace tools {

struct WrittenFormula {
  std::string formula, sentence;
  at::Tensor values;    // [P] fp64
  double accuracy = 1;  // on the person's pairs; 1 where there are none
};
// Of the last JSON object in the answer that has a "formula". Throws BadInput, with what is to be
// said to the model, where there is none, it cannot be read, names something else than facts, or
// has a formula_fault (rewards/custom/formula_check.hpp).
WrittenFormula read_formula(const std::string& answer, PictureFacts& pictures);

struct WriterHooks {
  // The model's answer to the conversation.
  std::function<std::string(const std::vector<rewards::ChatMessage>&)> ask;
  // Shows a usable formula to a person and takes what they say; pairs are added. -> "": content
  std::function<std::string(const WrittenFormula&, std::vector<PreferredPicture>& pairs)> show;
};

struct WrittenReward {
  std::optional<WrittenFormula> best{};  // the latest of the largest accuracy; none: none is usable
  std::string fault{};                   // of the last answer that was refused
  int64_t tries = 0;                     // answers of the model
};
// Asks until a formula is usable, right on every pair, and the person says nothing; at most `tries`
// times. The last message of `conversation` must be the user's.
WrittenReward write_reward(Conversation& conversation,
                           PictureFacts& pictures,
                           std::vector<PreferredPicture> pairs,
                           int64_t tries,
                           const WriterHooks& hooks);

}  // namespace tools
