#pragma once

// What the libraries that are opened at run time have in common.

#include <dlfcn.h>

#include <filesystem>
#include <string>

namespace data {

// Where a file of that name lies if it lies beside the running program.
inline std::filesystem::path beside_program(const std::string& name) {
  return std::filesystem::read_symlink("/proc/self/exe").parent_path() / name;
}

// A function of a library that dlopen gave; false and null where it has none of that name.
template <class F>
bool find_function(void* library, const char* name, F& function) {
  function = reinterpret_cast<F>(dlsym(library, name));
  return function != nullptr;
}

}  // namespace data
