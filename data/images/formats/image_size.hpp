#pragma once

#include <cstdint>

namespace data {

struct ImageSize {
  int64_t width = 0, height = 0;  // pixels
  int64_t pixels() const { return width * height; }
};

}  // namespace data
