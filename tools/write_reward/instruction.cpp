#include "tools/write_reward/instruction.hpp"

#include <ATen/ATen.h>

#include <cmath>

#include "data/base/format.hpp"
#include "data/base/strings.hpp"
#include "rewards/custom/expression.hpp"
#include "rewards/custom/formula_check.hpp"
#include "rewards/judge/chat.hpp"

namespace tools {
namespace {

const char* const kAnswerForm =
    "\nA higher value is a better picture. Answer with one JSON object and nothing else:\n"
    "{\"formula\": \"...\", \"sentence\": \"what the formula rewards\"}\n";

const char* const kExamples =
    "\nExamples.\n"
    "Wish: dark pictures with something bright in the middle\n"
    "{\"formula\": \"2*vignette - border_brightness\", "
    "\"sentence\": \"a middle brighter than the corners, and a dark border\"}\n"
    "Wish: watercolours in warm colours, no photographs\n"
    "{\"formula\": \"clip:\\\"a watercolour\\\" - clip:\\\"a photograph\\\" + 5*warm_share\", "
    "\"sentence\": \"closer to a watercolour than to a photograph, and more red than blue\"}\n";

std::string grammar() {
  return "\nFormulas consist of numbers, names of facts, + - * / ^, brackets and the functions " +
         rewards::formula_functions() +
         ". There are no comparisons, conditions or other functions. clip:\"words\" is a fact, "
         "too: 100 times the cosine between CLIP's embeddings of the picture and of any words in "
         "double quotes.\n";
}

constexpr double kNothing = 1e-5;  // below it, a figure is what rounding leaves of 0

// Three digits.
std::string three_digits(double value) {
  return data::formatted("%.3g", std::abs(value) < kNothing ? 0 : value);
}

std::string quantiles(const at::Tensor& values) {
  const at::Tensor finite = values.masked_select(values.isfinite());
  if (finite.numel() == 0) return "no value";
  const at::Tensor points =
      at::quantile(finite, at::tensor({0.0, 0.25, 0.5, 0.75, 1.0}, at::kDouble));
  std::vector<std::string> texts;
  for (int64_t i = 0; i < points.numel(); ++i)
    texts.push_back(three_digits(points[i].item<double>()));
  return data::joined(texts, " ");
}

std::string fact_table(PictureFacts& pictures) {
  std::string text = data::formatted(
      "\nFacts: name (unit; usual range), meaning; minimum, quartiles and maximum on the person's "
      "%lld pictures.\n",
      static_cast<long long>(pictures.files().size()));
  for (const auto& fact : pictures.facts())
    text += fact.name +
            data::formatted(" (%s; %g to %g), ", fact.unit.c_str(), fact.low, fact.high) +
            fact.description + "; " + quantiles(pictures.of({fact.name})[0]) + "\n";
  return text;
}

}  // namespace

std::string writing_instruction(PictureFacts& pictures) {
  return std::string(rewards::kFormulaTask) + kAnswerForm + grammar() + fact_table(pictures) +
         data::formatted(
             "\nA formula is sent back when it cannot be read, names something else, is "
             "no finite number on more than %.0f %% of the pictures, is equal on all of "
             "them, or has one term with more than %.0f %% of the terms' variance: scale "
             "each term by the spread of its facts.\n",
             100 * rewards::kMostNotFinite, 100 * rewards::kLargestTermShare) +
         kExamples;
}

std::string facts_of_pair(PictureFacts& pictures, const PreferredPicture& pair) {
  std::string lines;
  for (const int64_t number : {pair.better, pair.worse}) {
    std::vector<std::string> texts;
    for (const auto& fact : pictures.facts()) {
      const at::Tensor values = pictures.of({fact.name})[0];
      texts.push_back(fact.name + " " + three_digits(values[number - 1].item<double>()));
    }
    lines += "Picture " + std::to_string(number) + ": " + data::joined(texts, ", ") + "\n";
  }
  return lines;
}

}  // namespace tools
