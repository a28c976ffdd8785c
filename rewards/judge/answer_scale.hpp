#pragma once

// The scale that an answer repeats: "(1-5)", "on a scale of 1 (bad) to 5 (good)", "out of 5", "/5".

#include "rewards/judge/answer_candidates.hpp"

namespace rewards {

struct Scale {
  double lowest, highest;
};

struct WithoutScales {
  AnswerWords words;
  bool other_scale = false;  // one that ends elsewhere was named
};
// Leaves out the phrases that name the scale, and the words and brackets around them.
WithoutScales without_scales(const AnswerWords& words, const Scale& scale);

inline bool is_number(const AnswerWords& words, size_t at) {
  return at < words.size() && words[at].kind == WordKind::kNumber;
}

// Behind the brackets that begin at `at`; `at` itself where none begin or they do not end soon.
size_t group_end(const AnswerWords& words, size_t at);

}  // namespace rewards
