#pragma once

// The printed report of `laurel train-reward lvlm`, and its report.json.

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "tools/train_reward/judge_student/images.hpp"

namespace tools {

struct TrainedStudent {
  std::string name;  // "student", "prompt-blind", "image-blind"
  rewards::JudgeStudent student;
  std::shared_ptr<rewards::ClipEmbedder> clip;  // its own
};

// Agreement of each student with the judge, and of `base`'s CLIP score as a baseline.
nlohmann::ordered_json evaluate_students(const std::string& title,
                                         const std::vector<TrainedStudent>& all,
                                         rewards::ClipEmbedder& base,
                                         const JudgedImages& judged);

// Agreement of the judge with itself on the same images under another seed.
nlohmann::ordered_json retest_judge(const rewards::Judgements& one, const rewards::Judgements& two);

// Robustness probes of the student on images of `judged`.
nlohmann::ordered_json probe(const TrainedStudent& trained, const JudgedImages& judged);

}  // namespace tools
