#pragma once

// What is told of a file by the sizes of its tensors.

#include <cstdint>
#include <string>

#include "diffusion/families/identify.hpp"

namespace diffusion {

// Size of `axis` of the first tensor whose name starts and ends so; -1 when there is none.
int64_t axis_size(const data::Weights& weights,
                  const std::string& start,
                  const std::string& end,
                  int64_t axis);

// Adds {name, value} where the value is above 0.
void add_detail(ModelKind& kind, const std::string& name, int64_t value);

}  // namespace diffusion
