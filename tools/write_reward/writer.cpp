#include "tools/write_reward/writer.hpp"

#include <ATen/ATen.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "data/base/error.hpp"
#include "data/base/format.hpp"
#include "rewards/custom/expression.hpp"
#include "rewards/custom/formula_check.hpp"
#include "rewards/judge/answer_text.hpp"
#include "tools/write_reward/instruction.hpp"

using data::BadInput;

namespace tools {
namespace {

// The values of the formula on both pictures of each pair, and their facts.
std::string said_of(const std::vector<PreferredPicture>& wrong,
                    const WrittenFormula& written,
                    PictureFacts& pictures) {
  std::string text;
  for (const auto& pair : wrong) {
    text += data::formatted(
        "The person says that picture %lld is better than picture %lld; your formula gives them "
        "%.4g and %.4g.\n",
        static_cast<long long>(pair.better), static_cast<long long>(pair.worse),
        written.values[pair.better - 1].item<double>(),
        written.values[pair.worse - 1].item<double>());
    text += facts_of_pair(pictures, pair);
  }
  return text;
}

}  // namespace

WrittenFormula read_formula(const std::string& answer, PictureFacts& pictures) {
  WrittenFormula written;
  for (const auto& object : rewards::objects_in(answer)) {
    if (!object.value("formula", nlohmann::json()).is_string()) continue;
    const auto sentence = object.value("sentence", nlohmann::json());
    written.formula = object["formula"].get<std::string>();
    written.sentence = sentence.is_string() ? sentence.get<std::string>() : "";
  }
  if (written.formula.empty())
    throw BadInput("expected a JSON object with \"formula\" and \"sentence\", found none");
  const auto expression = rewards::parse_expression(written.formula, "formula");
  const auto values = pictures.of(expression.names);
  const std::string fault = rewards::formula_fault(expression, values);
  if (!fault.empty()) throw BadInput("formula: '" + written.formula + "': " + fault);
  written.values = rewards::evaluate(expression, values);
  return written;
}

WrittenReward write_reward(Conversation& conversation,
                           PictureFacts& pictures,
                           std::vector<PreferredPicture> pairs,
                           int64_t tries,
                           const WriterHooks& hooks) {
  WrittenReward result;
  while (result.tries < tries) {
    const std::string answer = hooks.ask(conversation.messages());
    conversation.add("assistant", answer);
    ++result.tries;
    std::optional<WrittenFormula> written;
    std::string reply;
    try {
      written = read_formula(answer, pictures);
    } catch (const BadInput& fault) {
      result.fault = fault.what();
      reply = "Refused: " + result.fault;
    }
    if (written) {
      reply = hooks.show(*written, pairs);
      if (!pairs.empty()) written->accuracy = accuracy_on(pairs, written->values);
      reply = said_of(wrong_pairs(pairs, written->values), *written, pictures) + reply;
      if (!result.best || !(written->accuracy < result.best->accuracy)) result.best = written;
    }
    if (reply.empty()) break;
    if (result.tries < tries) conversation.add("user", reply);
  }
  return result;
}

}  // namespace tools
