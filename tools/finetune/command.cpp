#include "tools/finetune/command.hpp"

#include "data/base/strings.hpp"
#include "finetune/policy/methods/policy_methods.hpp"
#include "tools/cli/run_in_ranks.hpp"
#include "tools/finetune/distill_cfg_command.hpp"
#include "tools/finetune/draft_command.hpp"
#include "tools/finetune/edit_command.hpp"
#include "tools/finetune/forward_command.hpp"
#include "tools/finetune/policy_options.hpp"
#include "tools/finetune/policy_run.hpp"

namespace tools {
namespace {

const CommandList& finetune_subcommands() {
  static const CommandList list = [] {
    CommandList all = forward_commands();
    all.insert(all.end(), draft_commands().begin(), draft_commands().end());
    all.push_back(&kDistillCfg);
    all.push_back(&kFinetuneEdit);
    return all;
  }();
  return list;
}

int finetune_command(const std::vector<std::string>& arguments) {
  if (!arguments.empty() && find_command(finetune_subcommands(), arguments[0]))
    return run_command(finetune_subcommands(), "laurel finetune", arguments);
  FinetuneCommand command;
  std::vector<std::string> names;
  std::string summary = "Teaches the UNet to earn more reward";
  for (const auto& method : finetune::policy_methods()) {
    names.push_back(method.name);
    if (!arguments.empty() && arguments[0] == method.name) summary += " by " + method.summary;
  }
  Options options(
      "finetune", summary + ".",
      data::joined(names, "|") + "|" + data::joined(names_of(finetune_subcommands()), "|"));
  options.positional_choices(names);
  declare_finetune(options, command);
  const auto parsed = options.parse(arguments);
  if (!parsed.proceed) return 0;
  resolve_finetune(command, options, parsed.positional);
  return in_ranks(
      finetune_configuration(command, options), command.ranks,
      [&](const finetune::ProcessGroup& ranks) { return run_policy(ranks, command, options); });
}

}  // namespace

const Command kFinetune{"finetune", "teach the UNet to earn more reward, or to edit images",
                        finetune_command, finetune_subcommands};

}  // namespace tools
