#include "tests/support/paths.hpp"

// CMake defines both for this file alone: other objects do not depend on where the repository lies,
// so that a compiler cache serves all copies of it.
namespace tests {

const char* source_dir() { return LAUREL_SOURCE_DIR; }
const char* program() { return LAUREL_BINARY; }

}  // namespace tests
