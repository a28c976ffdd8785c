#pragma once

// The simulated judge's answers to the questions of `laurel score --edit`
// (rewards/judge/edit_judge.hpp), for the built-in world (synthetic).

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "rewards/world/simulated_judge.hpp"

namespace rewards {

// A question about an edit, as edit_judge_request writes it.
struct AskedEdit {
  std::string axis, instruction;  // the instruction is empty where the axis does not see the source
  std::vector<std::string> images;  // PNG bytes: the source where the axis sees it, the edit
};
// none: the text is no such question.
std::optional<AskedEdit> edit_question_in(const std::string& text);

// {"score": .., "flaw": ".."}: the score of data/world/edit_reading.hpp, for generation_quality
// five times the quality of an image (world_judgement), with the judge's noise; 0 to 5. Throws
// BadInput for images and instructions that are not the world's.
std::string edit_answer(const WorldJudge& judge, const AskedEdit& asked, const std::string& seed);

}  // namespace rewards
