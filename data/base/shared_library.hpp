#pragma once

// Helpers for libraries that are opened at run time.

#include <dlfcn.h>

#include <filesystem>
#include <string>

namespace data {

// The path of a file of this name in the folder of the running program.
inline std::filesystem::path beside_program(const std::string& name) {
  return std::filesystem::read_symlink("/proc/self/exe").parent_path() / name;
}

// Looks up a function in a library opened by dlopen. False, and null, when it has none of that
// name.
template <class F>
bool find_function(void* library, const char* name, F& function) {
  function = reinterpret_cast<F>(dlsym(library, name));
  return function != nullptr;
}

}  // namespace data
