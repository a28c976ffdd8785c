#pragma once

// A command of laurel is a row beside its code: `laurel NAME ARGUMENTS...`, or a subcommand of one.

#include <functional>
#include <string>
#include <vector>

namespace tools {

struct Command;
using CommandList = std::vector<const Command*>;

struct Command {
  const char* name;
  const char* summary;  // one line of the help above it
  // Returns the exit code. Throws data::BadInput for bad input.
  std::function<int(const std::vector<std::string>& arguments)> run;
  const CommandList& (*subcommands)() = nullptr;
  bool has_options = true;  // false: it only chooses among its subcommands
};

// The command of this name; null when there is none.
const Command* find_command(const CommandList& list, const std::string& name);

std::vector<std::string> names_of(const CommandList& list);

// Runs the command that arguments[0] names with the arguments after it. `parent`: "laurel
// pretrain". Throws BadInput for an unknown name, with the nearest one. arguments: not empty
int run_command(const CommandList& list,
                const std::string& parent,
                const std::vector<std::string>& arguments);

// A line of help for each: name and summary, which begins at `column` behind the indent.
std::string command_lines(const CommandList& list, size_t column);

// Whether the arguments ask for the help of a command that has subcommands: none, --help, -h.
bool asks_for_help(const std::vector<std::string>& arguments);

}  // namespace tools
