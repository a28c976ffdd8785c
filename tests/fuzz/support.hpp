#pragma once

// Helpers of the targets.

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace fuzz {

// Prints `what` and aborts unless it holds: a property of what a parser returned.
void require(bool holds, const char* what);

// Runs one of several parsers of a target; its BadInput does not keep the next from the input.
void attempt(const std::function<void()>& parse);

// A folder of this process, removed at its end, in TEST_TMPDIR or TMPDIR.
const std::filesystem::path& scratch();
// A file in it with these bytes; a file of that name is replaced.
std::filesystem::path file_of(const std::string& name, std::string_view bytes);

// The text between lines "%%", exactly `count` parts; those that are missing are empty.
std::vector<std::string> parts_of(std::string_view input, size_t count);

// Reads every byte of the tensor, so that one that leaves its file is noticed.
void touch(const at::Tensor& tensor);

// The bytes of a number, the least significant first.
std::string little_endian(uint64_t value, size_t bytes);

}  // namespace fuzz
