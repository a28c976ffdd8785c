#pragma once

#include <iosfwd>
#include <memory>

namespace tools {

// While it lives, control characters, marks that turn the direction of writing and bytes that are
// not UTF-8 reach std::cout and std::cerr as escapes (data::printable): names in files that were
// downloaded cannot drive the terminal. Line ends ("\r\n" too, as CSV has), tabs and a '\r' of its
// own stay. The escapes are JSON's, so that JSON says the same.
class SafeOutput {
 public:
  SafeOutput();
  ~SafeOutput();
  SafeOutput(const SafeOutput&) = delete;
  SafeOutput& operator=(const SafeOutput&) = delete;

 private:
  std::unique_ptr<std::streambuf> output_, errors_;
  std::streambuf *output_before_, *errors_before_;
};

// Flushes standard output. False: not all that was written reached it (a full disk, a closed
// descriptor).
bool flush_output();

}  // namespace tools
