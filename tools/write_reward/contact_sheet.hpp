#pragma once

// The pictures that a formula likes most and least, as one picture.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <vector>

namespace tools {

// Rows of the largest and of the smallest finite values, best first and worst first: `most` each,
// fewer where there are not twice as many.  values: [P] fp64
struct Extremes {
  std::vector<int64_t> best, worst;
};
Extremes extremes_of(const at::Tensor& values, int64_t most);

// A row of the five best pictures and a row of the five worst, each shrunk into a square, under it
// its number (from 1) and its value. Written as a PNG.  values: [P] fp64, P of the files
void write_contact_sheet(const std::filesystem::path& path,
                         const std::vector<std::filesystem::path>& files,
                         const at::Tensor& values);

}  // namespace tools
