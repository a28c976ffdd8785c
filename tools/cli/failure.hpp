#pragma once

// What is said when a command fails, and what it leaves with.

#include <exception>
#include <functional>
#include <string>

namespace tools {

constexpr int kFailed = 1;    // a fault of laurel or of the machine
constexpr int kBadInput = 2;  // something that the user can put right

struct Failure {
  std::string what;  // one line where the user can put it right
  int exit_code = kFailed;
};
// Bad input and too little memory are the user's to put right; anything else is a fault.
Failure failure_of(const std::exception& error);

// Where memory runs out in `work`: BadInput of the command, with what to lower.
void with_advice(const std::string& command,
                 const std::string& what_to_lower,
                 const std::function<void()>& work);

}  // namespace tools
