#pragma once

// What `laurel train-reward lvlm` prints of its students, and writes as report.json.

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "tools/train_reward/judged_images.hpp"

namespace tools {

struct TrainedLvlm {
  std::string name;  // "student", "prompt-blind", "image-blind"
  rewards::LvlmStudent student;
  std::shared_ptr<rewards::ClipEmbedder> clip;  // its own
};

// How well each follows the judge, beside what `base`'s CLIP score says of each axis.
nlohmann::ordered_json examine(const std::string& title,
                               const std::vector<TrainedLvlm>& all,
                               rewards::ClipEmbedder& base,
                               const JudgedImages& judged);

// The judge against itself: the same images under another seed.
nlohmann::ordered_json judge_itself(const rewards::Judgements& one, const rewards::Judgements& two);

// What the student is deaf to and what it is fooled by, on images of `judged`.
nlohmann::ordered_json probe(const TrainedLvlm& trained, const JudgedImages& judged);

}  // namespace tools
