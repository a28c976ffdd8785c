#pragma once

// Choices with their pictures: from files to what a taste is fitted to.

#include <memory>
#include <vector>

#include "rewards/pairs/choices.hpp"
#include "rewards/pairs/taste.hpp"
#include "tools/train_reward/embedded_pictures.hpp"

namespace tools {

struct TasteInput {
  rewards::TasteData data;
  int64_t pictures = 0;                    // different image files
  int64_t pairs = 0, ties = 0, likes = 0;  // both bad counts as a tie
  int64_t soft = 0;                        // pairs whose label is not sure
  std::vector<std::string> left_out;       // a line each
  bool too_many_people = false;            // more than 200: they are treated as one
};

// Several files or folders of choices as one.
rewards::Choices read_all_choices(const std::vector<std::string>& paths);
// Whether each choice has a prompt.
bool have_prompts(const rewards::Choices& choices);

// Embeds and scores each picture with its prompt once. "Both bad" is a tie, and a dislike of either
// image. A decided pair keeps its soft label, and `margin_scale` times its margin. Choices of a
// picture that cannot be read are left out. Throws BadInput when fewer than 8 choices remain, none
// of them decided, or when they take more than 2 GiB.
TasteInput taste_input(const rewards::Choices& choices,
                       const std::shared_ptr<rewards::ClipEmbedder>& clip,
                       const std::vector<rewards::WeightedReward>& rewards,
                       double margin_scale,
                       const ScoringOptions& options);

}  // namespace tools
