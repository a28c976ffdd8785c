#include "tools/studio/work/methods.hpp"

#include "data/base/error.hpp"
#include "data/base/strings.hpp"
#include "data/unicode/utf8.hpp"
#include "finetune/draft/methods.hpp"
#include "finetune/forward/config.hpp"
#include "finetune/forward/methods/forward_methods.hpp"
#include "finetune/policy/config.hpp"
#include "finetune/policy/methods/policy_methods.hpp"

namespace studio {
namespace {

TrainingMethod by_epochs(const std::string& name, const std::string& summary, int64_t usual) {
  return {.name = name,
          .summary = summary,
          .rounds = "epochs",
          .rounds_option = "--num_epochs",
          .usual = usual};
}

TrainingMethod by_steps(const std::string& name, const std::string& summary, int64_t usual) {
  return {.name = name,
          .summary = summary,
          .rounds = "steps",
          .rounds_option = "--max_train_steps",
          .usual = usual};
}

std::vector<TrainingMethod> from_rewards() {
  std::vector<TrainingMethod> rows;
  for (const auto& method : finetune::policy_methods())
    rows.push_back(by_epochs(method.name, method.summary, finetune::FinetuneConfig().num_epochs));
  for (const auto& method : finetune::draft_methods()) {
    rows.push_back(by_steps(method.name, method.summary, method.defaults().max_train_steps));
    rows.back().aggregates = false;
  }
  for (const auto& method : finetune::forward_methods()) {
    rows.push_back(by_epochs(method.name, method.summary, finetune::ForwardConfig().num_epochs));
    rows.back().online = method.learns_from_choices;
  }
  return rows;
}

}  // namespace

const std::vector<TrainingMethod>& training_methods() {
  static const std::vector<TrainingMethod> methods = [] {
    std::vector<TrainingMethod> rows = from_rewards();
    for (const auto& method : finetune::forward_methods()) {
      if (!method.learns_from_choices) continue;
      rows.push_back(
          by_steps(method.name, method.summary, finetune::ForwardConfig().max_train_steps));
      rows.back().from_answers = true;
    }
    return rows;
  }();
  return methods;
}

const TrainingMethod& training_method(const std::string& name, bool from_answers) {
  std::vector<std::string> names;
  for (const auto& method : training_methods()) {
    if (method.from_answers != from_answers) continue;
    if (method.name == name) return method;
    names.push_back(method.name);
  }
  throw data::BadInput("method: expected one of " + data::joined(names, ", ") + ", found '" +
                       data::printable(data::shortened(name, 40)) + "'");
}

}  // namespace studio
