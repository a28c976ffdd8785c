#pragma once

// What is fuzzed: a row for each parser of input that others wrote.

#include <string>
#include <string_view>
#include <vector>

namespace fuzz {

struct Target {
  const char* name;  // of its corpus
  // Reads the input. A throw of data::BadInput is an answer; any other throw is a fault.
  void (*run)(std::string_view input);
  std::vector<std::string> seeds{};   // small valid inputs
  std::vector<std::string> golden{};  // files that are such, below tests/golden
  std::vector<std::string> words{};   // of the format, for the fuzzer to insert
  size_t longest = 4096;              // bytes of an input
};
using Targets = std::vector<Target>;

// Rows of the files in targets/, each beside its code.
Targets text_targets();
Targets weights_targets();
Targets tokenizer_targets();
Targets prompt_targets();
Targets image_targets();
Targets list_targets();
Targets server_targets();
Targets judge_targets();
Targets reward_targets();
Targets lora_targets();
Targets config_targets();
Targets run_targets();

const Targets& targets();
const Target* target_of(const std::string& name);  // nullptr: none

// The seeds of a target and its golden files.
std::vector<std::string> seeds_of(const Target& target);

// Runs the target on the input. Returns why it was refused, "" where it was read. Prints the fault
// and aborts when the target throws anything but BadInput, or a BadInput without a message.
std::string check(const Target& target, std::string_view input);

}  // namespace fuzz
