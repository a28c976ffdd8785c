#pragma once

// People's choices between pictures, from every form that the field keeps them in.

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace rewards {

enum class Answer { kA, kB, kTie, kBothBad };

// Two images of a prompt and which of them a person prefers.
struct Choice {
  std::string prompt;
  std::filesystem::path a, b;
  Answer answer = Answer::kA;
  std::string person{};       // "": not named
  double weight = 1;          // > 0
  std::optional<double> p{};  // that a is preferred, where the line has it; else label_of(answer)
  double margin = 0;  // >= 0: by which the winner's score is to lead; of a tie it says nothing
};
// 1: a is preferred, 0: b, 0.5: neither
double label_of(Answer answer);

// One image that a person likes or dislikes.
struct Like {
  std::string prompt;  // may be empty
  std::filesystem::path image;
  bool liked = true;
  std::string person{};
  double weight = 1;
};

struct Choices {
  std::vector<Choice> pairs;
  std::vector<Like> likes;
  std::vector<std::string> left_out{};  // a line each: which picture has no counterpart
};

// A file, or a folder (rewards/pairs/choice_folders.hpp). JSONL, a JSON array (.json) or CSV with
// the same keys as columns (.csv), each line in one of these forms, paths relative to the file's
// folder:
//   {"prompt", "a", "b", "winner": "a" | "b" | "tie" | "both_bad"}         laurel; "p" in [0, 1],
//   "margin" >= 0
//   {"like": FILE} or {"dislike": FILE}, with or without "prompt"          laurel
//   {"prompt", "pos_path", "neg_path"}                                     Social Reward
//   {"prompt", "generations": [...], "ranking": [...]}                     ImageRewardDB, 1 = best
//   {"prompt", "image_path": [...], "rank": [...]}                         HPDv2, 0 or 1 = best
//   {"prompt", "image_path" or "file_path": [2], "human_preference": [1, 0]}         HPDv2's pairs
//   {"caption", "image_0", "image_1", "label_0", "label_1"}                Pick-a-Pic
// and in each of them "person" (or Pick-a-Pic's user_id, HPDv2's user_hash) and "weight". Lines of
// Pick-a-Pic whose has_label is false hold no choice. The images need not exist. Throws BadInput
// naming the first line of another form, a ranking of more than 256 images, and a file of more than
// 4,000,000 choices or of none.
Choices read_choices(const std::filesystem::path& path);

}  // namespace rewards
