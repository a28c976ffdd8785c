#pragma once

// The message and the exit code of a command that fails.

#include <exception>
#include <functional>
#include <string>

namespace tools {

constexpr int kFailed = 1;    // a fault of laurel or of the machine
constexpr int kBadInput = 2;  // a fault that the user can correct

struct Failure {
  std::string what;  // one line for bad input
  int exit_code = kFailed;
};
// Bad input (also what a library throws on it) and out of memory have exit code kBadInput, any
// other exception kFailed. Control characters are escaped.
Failure failure_of(const std::exception& error);

// Runs `work`. When it runs out of memory, throws BadInput that advises what to lower.
void with_advice(const std::string& command,
                 const std::string& what_to_lower,
                 const std::function<void()>& work);

}  // namespace tools
