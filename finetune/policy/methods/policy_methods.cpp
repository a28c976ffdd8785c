#include "finetune/policy/methods/policy_methods.hpp"

#include "data/base/error.hpp"
#include "data/base/strings.hpp"
#include "finetune/policy/methods/d3po_loss.hpp"
#include "finetune/policy/methods/ddpo_loss.hpp"
#include "finetune/policy/methods/dpok_loss.hpp"
#include "finetune/policy/methods/grpo_loss.hpp"
#include "finetune/policy/methods/prdp_loss.hpp"

namespace finetune {

const std::vector<PolicyMethod>& policy_methods() {
  // clang-format off
  static const std::vector<PolicyMethod> methods = {
      prdp_method(),
      ddpo_method(),
      dpok_method(),
      grpo_method(),
      d3po_method(),
  };
  // clang-format on
  return methods;
}

const PolicyMethod& policy_method(const std::string& name) {
  std::vector<std::string> names;
  for (const auto& method : policy_methods()) {
    if (method.name == name) return method;
    names.push_back(method.name);
  }
  throw data::BadInput("method: expected one of " + data::joined(names, ", ") + ", found '" + name +
                       "'");
}

}  // namespace finetune
