#pragma once

// The options of each policy-gradient method, beside those that all methods have.

#include <functional>
#include <vector>

#include "finetune/policy/methods/method.hpp"
#include "tools/cli/options.hpp"

namespace tools {

// Declares a method's own options; what it returns makes the method of their values.
using DeclareMethod = std::function<finetune::PolicyMethod()> (*)(Options& options);

// Of every method, in the order of --help. A new one is a file here that defines it, and a line in
// the .cpp.
const std::vector<DeclareMethod>& method_options();

}  // namespace tools
