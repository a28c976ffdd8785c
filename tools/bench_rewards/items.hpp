#pragma once

// The items of `laurel bench-rewards`: a prompt, its right picture, and wrong ones.

#include <filesystem>
#include <string>
#include <vector>

namespace tools {

constexpr size_t kMostWrong = 9, kMostVariants = 64;

// The prompt of an item in other words: `name` is "paraphrase", "de", ..
struct PromptVariant {
  std::string name, prompt;
};

struct BenchItem {
  std::string prompt;
  std::vector<std::string> slices{};
  bool apart = false;  // counts in its slices, not in the figures of all items
  std::filesystem::path right;
  std::vector<std::filesystem::path> wrong;
  std::vector<std::string> changes{};  // of each wrong picture: what is wrong with it; or empty
  std::vector<PromptVariant> variants{};
};

// JSONL, paths relative to the file:
//   {"prompt", "chosen": FILE, "rejected": [1 to 9 files], "slice"?: NAME or [NAMES],
//    "changes"?: [NAMES], "variants"?: {NAME: PROMPT or [PROMPTS]}, "apart"?: BOOL}
// Throws BadInput naming the first line of another form, an item whose right picture is among the
// wrong ones or that names a wrong one twice, one without a prompt where `need_prompt`, and a file
// of none or of more than 100,000 items.
std::vector<BenchItem> read_bench_items(const std::filesystem::path& path, bool need_prompt);

// Adds the variants of a file of {"prompt", "variants": {NAME: PROMPT or [PROMPTS]}} a line to the
// items of these prompts. Throws BadInput naming the first line of another form, and when no item
// has one of its prompts.
void add_variants(const std::filesystem::path& path, std::vector<BenchItem>& items);

}  // namespace tools
