#pragma once

namespace tests {

const char* source_dir();  // the root of the repository
const char* program();     // the built laurel

}  // namespace tests
