#pragma once

#include <string>
#include <vector>

namespace tools {

// A subcommand: `laurel <name> arguments...`. Returns the exit code; throws data::BadInput for bad
// input.
struct Command {
  const char* name;
  const char* summary;  // one line of `laurel --help`
  int (*run)(const std::vector<std::string>& arguments);
};

int cmd_finetune(const std::vector<std::string>& arguments);
int cmd_edit(const std::vector<std::string>& arguments);
int cmd_distill(const std::vector<std::string>& arguments);
int cmd_bench(const std::vector<std::string>& arguments);
int cmd_gallery(const std::vector<std::string>& arguments);

// Defined in commands.cpp: every subcommand, in the order of `laurel --help`.
const std::vector<Command>& all_commands();

int cmd_pretrain(const std::vector<std::string>& arguments);
int cmd_sample(const std::vector<std::string>& arguments);
int cmd_world(const std::vector<std::string>& arguments);
int cmd_score(const std::vector<std::string>& arguments);
int cmd_judge(const std::vector<std::string>& arguments);
int cmd_rank(const std::vector<std::string>& arguments);
int cmd_eval_pairs(const std::vector<std::string>& arguments);
int cmd_bon_curve(const std::vector<std::string>& arguments);
int cmd_train_reward(const std::vector<std::string>& arguments);
int cmd_merge(const std::vector<std::string>& arguments);
int cmd_inspect(const std::vector<std::string>& arguments);
int cmd_doctor(const std::vector<std::string>& arguments);

}  // namespace tools
