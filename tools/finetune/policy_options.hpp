#pragma once

// What `laurel finetune` is told.

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "finetune/policy/config.hpp"
#include "tools/finetune/step_credit_options.hpp"
#include "tools/finetune/training_options.hpp"

namespace tools {

// A method whose options are declared.
struct DeclaredMethod {
  std::map<std::string, std::string> own;  // its options' keys, with their defaults as TOML
  std::function<finetune::PolicyMethod()> make;
};

struct FinetuneCommand : TrainingCommand {
  finetune::FinetuneConfig config;
  StepCreditConfig credit;
  std::vector<DeclaredMethod> methods;
  std::string skip_steps = "auto";  // "none", "8,9"
  std::string branch;               // "0,3,6"; empty: each image has a chain of its own
  std::string max_memory;           // "12GB"; empty: no limit
  bool compare_gradients = false;   // print gradient_cosines of all methods, train nothing
};

void declare_finetune(Options& options, FinetuneCommand& command);
// Groups that other commands of a policy gradient share with it.
void declare_max_memory(Options& options, FinetuneCommand& command);
void declare_micro_batch(Options& options, finetune::FinetuneConfig& config);
// Throws BadInput for more prompts an update than an epoch has.
void check_updates(const finetune::FinetuneConfig& config);

// Moves what was given as text into the config, makes the method that the words name, and checks
// what single options cannot. Throws BadInput; also for an option of another method, unless its
// value is the default: the config.toml of older runs has the options of all methods.
void resolve_finetune(FinetuneCommand& command,
                      const Options& options,
                      const std::vector<std::string>& words);

// The resolved configuration without options of other methods.
std::string finetune_configuration(const FinetuneCommand& command, const Options& options);

}  // namespace tools
