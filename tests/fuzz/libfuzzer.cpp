// The targets under clang's libFuzzer:
//   fuzz_parsers --list                 the names of the targets
//   fuzz_parsers NAME --seeds FOLDER    writes the seeds of one, and FOLDER.dict
//   fuzz_parsers NAME FOLDER...         fuzzes it; the rest are libFuzzer's own arguments
// The name may also stand in LAUREL_FUZZ_TARGET, by which libFuzzer's children know it.

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "tests/fuzz/target.hpp"

namespace {

const fuzz::Target* chosen = nullptr;
std::chrono::duration<double> slowest{};  // of an input; libFuzzer tells whole seconds alone

std::string escaped(const std::string& word) {
  std::string text;
  char byte[8];
  for (const char letter : word) {
    std::snprintf(byte, sizeof byte, "\\x%02X", static_cast<unsigned char>(letter));
    text += byte;
  }
  return text;
}

void write_seeds(const fuzz::Target& target, const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  int number = 0;
  for (const auto& seed : fuzz::seeds_of(target))
    std::ofstream(folder / ("seed-" + std::to_string(number++)), std::ios::binary) << seed;
  std::ofstream words(folder.string() + ".dict");
  for (const auto& word : target.words) words << '"' << escaped(word) << "\"\n";
  std::printf("%zu\n", target.longest);
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int* count, char*** arguments) {
  char** const given = *arguments;
  const std::string first = *count > 1 ? given[1] : "";
  if (first == "--list") {
    for (const auto& target : fuzz::targets()) std::printf("%s\n", target.name);
    std::exit(0);
  }
  if (fuzz::target_of(first) != nullptr) {
    ::setenv("LAUREL_FUZZ_TARGET", first.c_str(), 1);
    for (int i = 1; i + 1 < *count; ++i) given[i] = given[i + 1];
    --*count;
  }
  const char* const name = std::getenv("LAUREL_FUZZ_TARGET");
  chosen = fuzz::target_of(name == nullptr ? "" : name);
  if (chosen == nullptr) {
    std::fprintf(stderr, "expected the name of a target first; --list shows them\n");
    std::exit(2);
  }
  if (*count > 2 && given[1] == std::string("--seeds")) {
    write_seeds(*chosen, given[2]);
    std::exit(0);
  }
  std::atexit([] { std::fprintf(stderr, "slowest_input_s: %.4f\n", slowest.count()); });
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t count) {
  const auto started = std::chrono::steady_clock::now();
  fuzz::check(*chosen, {reinterpret_cast<const char*>(bytes), count});
  slowest =
      std::max<std::chrono::duration<double>>(slowest, std::chrono::steady_clock::now() - started);
  return 0;
}
