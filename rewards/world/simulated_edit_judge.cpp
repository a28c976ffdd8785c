#include "rewards/world/simulated_edit_judge.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "data/base/error.hpp"
#include "data/base/json.hpp"
#include "data/images/image_io.hpp"
#include "data/storage/sha256.hpp"
#include "data/world/edit_reading.hpp"
#include "rewards/judge/edit_judge.hpp"

using data::BadInput;

namespace rewards {
namespace {

constexpr double kHighestMark = 5;

at::Tensor picture(const AskedEdit& asked, size_t which) {
  return data::decode_image(asked.images.at(which), "image " + std::to_string(which + 1));
}

// The score without noise, and the flaw in words.
AxisVerdict verdict_on(const AskedEdit& asked) {
  if (asked.instruction.empty()) {
    const double quality = world_judgement("quality", picture(asked, 0), "");
    return {.score = kHighestMark * quality,
            .flaw = quality < 0.6 ? "the image is unclean" : "None"};
  }
  const auto scores =
      world::read_edit_scores(picture(asked, 0), picture(asked, 1), asked.instruction);
  const auto axis = static_cast<size_t>(
      std::find(world::kAxisNames.begin(), world::kAxisNames.end(), asked.axis) -
      world::kAxisNames.begin());
  return {.score = scores.values.at(axis), .flaw = scores.feedback.at(axis)};
}

}  // namespace

std::optional<AskedEdit> edit_question_in(const std::string& text) {
  AskedEdit asked;
  for (const char* name : world::kAxisNames) {
    const EditAxis axis = edit_axis(name);
    if (text.find(axis.question) == std::string::npos) continue;
    asked.axis = axis.name;
    if (!axis.sees_source) return asked;
    constexpr std::string_view kMark = "by the instruction \"";
    const size_t mark = text.find(kMark), first = mark + kMark.size();
    const size_t last = text.rfind("\".\n" + axis.question);
    if (mark == std::string::npos || last == std::string::npos || last < first) return std::nullopt;
    asked.instruction = text.substr(first, last - first);
    return asked;
  }
  return std::nullopt;
}

std::string edit_answer(const WorldJudge& judge, const AskedEdit& asked, const std::string& seed) {
  const size_t wanted = asked.instruction.empty() ? 1 : 2;
  if (asked.images.size() != wanted)
    throw BadInput("messages: expected " + std::to_string(wanted) + " images, found " +
                   std::to_string(asked.images.size()));
  const AxisVerdict verdict = verdict_on(asked);
  std::string drawn = seed + asked.axis + asked.instruction;
  for (const auto& image : asked.images) drawn += data::sha256(image);
  const double score = verdict.score + judge.noise * normal_of(drawn);
  const double rounded = std::round(10 * std::clamp(score, 0.0, kHighestMark)) / 10;
  return data::to_text(nlohmann::ordered_json{{"score", rounded}, {"flaw", verdict.flaw}});
}

}  // namespace rewards
