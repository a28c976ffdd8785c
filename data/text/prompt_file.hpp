#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace data {

// A prompt and the settings that its line of a prompt file gives it; the rest is the command's.
struct PromptLine {
  std::string prompt;
  std::optional<std::string> negative_prompt;
  std::optional<uint64_t> seed;
  std::optional<int64_t> width, height;  // pixels
  std::optional<int64_t> steps;
  std::optional<double> cfg_scale;
  std::string where;  // "prompts.txt:12"
};

// Reads a prompt file, UTF-8. Blank lines and lines that begin with # are passed over.
//   *.jsonl, *.ndjson: an object a line with "prompt" (or "text", "caption") and, as wanted,
//     "negative_prompt", "seed", "width", "height", "steps", "cfg_scale"; other keys are passed
//     over.
//   any other name: a prompt a line, with kohya's options after it:
//     a cat --n blurry --w 512 --h 512 --d 7 --l 7.5 --s 30
// Throws BadInput for kohya's other forms, .toml and .json, and with file and line for bytes that
// are not UTF-8, an empty prompt, an unknown or misspelt option and a value out of range, and when
// the file holds no prompt.
std::vector<PromptLine> read_prompts(const std::filesystem::path& path);

// One line of the second kind.
PromptLine parse_prompt_line(const std::string& line, const std::string& where);

// A text that came from a command line: must be UTF-8; white space at its ends goes.
std::string checked_prompt(const std::string& prompt, const std::string& where);

}  // namespace data
