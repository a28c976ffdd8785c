#pragma once

// What other programs call laurel's options, so that a command line of theirs works or is answered
// with what to write. --help does not list these names; docs/names.md does.

#include <string>
#include <vector>

namespace tools {

struct OtherName {
  const char* name;
  const char* key;               // laurel's, of a command that has it
  const char* tools;             // who calls it so
  const char* beside = nullptr;  // another key that the command must have, too
};
// The first row of a name whose keys a command has is the one.
const std::vector<OtherName>& other_names();

// What is said where a command has no option of that name.
struct Advice {
  const char* name;
  const char* text;  // after "unknown; "
};
const std::vector<Advice>& option_advice();

}  // namespace tools
