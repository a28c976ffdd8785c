#include "tools/cli/command.hpp"

#include <algorithm>

#include "data/base/error.hpp"

namespace tools {

const Command* find_command(const CommandList& list, const std::string& name) {
  const auto found = std::find_if(list.begin(), list.end(),
                                  [&](const Command* command) { return name == command->name; });
  return found == list.end() ? nullptr : *found;
}

std::vector<std::string> names_of(const CommandList& list) {
  std::vector<std::string> names;
  for (const Command* command : list) names.emplace_back(command->name);
  return names;
}

int run_command(const CommandList& list,
                const std::string& parent,
                const std::vector<std::string>& arguments) {
  if (const Command* command = find_command(list, arguments[0]))
    return command->run({arguments.begin() + 1, arguments.end()});
  const std::string near = data::nearest(arguments[0], names_of(list));
  throw data::BadInput(parent + ": unknown command '" + arguments[0] + "'" +
                       (near.empty() ? "" : "; did you mean " + near + "?") + " (`" + parent +
                       " --help` lists all)");
}

std::string command_lines(const CommandList& list, size_t column) {
  std::string lines;
  for (const Command* command : list) {
    std::string name = command->name;
    name.resize(std::max(name.size() + 1, column), ' ');
    lines += "  " + name + command->summary + "\n";
  }
  return lines;
}

bool asks_for_help(const std::vector<std::string>& arguments) {
  return arguments.empty() || arguments[0] == "--help" || arguments[0] == "-h";
}

}  // namespace tools
