#pragma once

#include "finetune/policy/methods/method.hpp"

namespace finetune {

// Every method with its defaults, in the order of --help. A new one is a file here that defines it,
// and a line in the .cpp.
const std::vector<PolicyMethod>& policy_methods();

// The method of this name with its defaults. Throws BadInput, with all names, when there is none.
const PolicyMethod& policy_method(const std::string& name);

}  // namespace finetune
