#pragma once

#include "finetune/forward/methods/method.hpp"

namespace finetune {

// Every method with its defaults, in the order of --help. A new one is a file here that defines it,
// and a line in the .cpp.
const std::vector<ForwardMethod>& forward_methods();

}  // namespace finetune
