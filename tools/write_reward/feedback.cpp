#include "tools/write_reward/feedback.hpp"

#include <ATen/ATen.h>

#include <cstdio>

#include "data/base/error.hpp"
#include "data/base/strings.hpp"
#include "rewards/evaluation/pair_accuracy.hpp"

namespace tools {
namespace {

double value_of_picture(const at::Tensor& values, int64_t number) {
  return values[number - 1].item<double>();
}

}  // namespace

std::optional<PreferredPicture> preference_in(const std::string& text, int64_t pictures) {
  const std::string words = data::trimmed(text);
  for (const char* form : {"%9lld is better than %9lld%n", "%9lld > %9lld%n"}) {
    long long better = 0, worse = 0;
    int end = -1;
    if (std::sscanf(words.c_str(), form, &better, &worse, &end) != 2 ||
        end != static_cast<int>(words.size()))
      continue;
    if (better < 1 || worse < 1 || better > pictures || worse > pictures || better == worse)
      throw data::BadInput("feedback '" + words + "': expected two different pictures of 1 to " +
                           std::to_string(pictures) + "; the contact sheet shows their numbers");
    return PreferredPicture{better, worse};
  }
  return std::nullopt;
}

double accuracy_on(const std::vector<PreferredPicture>& pairs, const at::Tensor& values) {
  std::vector<rewards::ScoredPair> scored;
  for (const auto& pair : pairs)
    scored.push_back(
        {.a = value_of_picture(values, pair.better), .b = value_of_picture(values, pair.worse)});
  return rewards::pair_accuracy(scored, {}).value;
}

std::vector<PreferredPicture> wrong_pairs(const std::vector<PreferredPicture>& pairs,
                                          const at::Tensor& values) {
  std::vector<PreferredPicture> wrong;
  for (const auto& pair : pairs) {
    if (!(value_of_picture(values, pair.better) > value_of_picture(values, pair.worse)))
      wrong.push_back(pair);
  }
  return wrong;
}

}  // namespace tools
