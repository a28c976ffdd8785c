#include "tools/reference/completion_command.hpp"

#include <iostream>

#include "data/base/error.hpp"
#include "data/base/strings.hpp"
#include "tools/cli/options.hpp"
#include "tools/cli/shell_word.hpp"
#include "tools/commands.hpp"
#include "tools/reference/command_pages.hpp"

namespace tools {
namespace {

// An option of a command, as a shell completes it.
struct Flag {
  std::string name, help;  // "--seed"
  bool takes_value = true;
  std::vector<std::string> choices;  // of its value; none: files
};

std::vector<Flag> flags_of(const CommandPage& page) {
  std::vector<Flag> flags;
  if (page.schema.is_null()) return flags;
  for (const auto& [key, property] : page.schema["properties"].items()) {
    if (is_alias(property)) continue;
    flags.push_back({.name = flag_of(key),
                     .help = property["description"],
                     .takes_value = property["type"] != "boolean",
                     .choices = property.value("enum", std::vector<std::string>())});
  }
  flags.push_back({.name = "--config", .help = "reads the keys from a TOML file", .choices = {}});
  flags.push_back(
      {.name = "--help", .help = "lists the options", .takes_value = false, .choices = {}});
  return flags;
}

std::vector<std::string> top_names(const std::vector<CommandPage>& pages) {
  std::vector<std::string> names;
  for (const auto& page : pages) {
    if (page.words.size() == 1) names.push_back(page.words[0]);
  }
  return names;
}

// bash: the command is the longest known one at the front of the line. An option's choices are
// known by "command option".
std::string bash_script(const std::vector<CommandPage>& pages) {
  std::string words = "    '') words=" + shell_word(data::joined(top_names(pages), " ")) + " ;;\n",
              values;
  for (const auto& page : pages) {
    const std::string name = data::joined(page.words, " ");
    std::vector<std::string> all = page.subcommands;
    std::string files;
    for (const auto& flag : flags_of(page)) {
      all.push_back(flag.name);
      if (!flag.choices.empty())
        values += "    " + shell_word(name + " " + flag.name) +
                  ") words=" + shell_word(data::joined(flag.choices, " ")) + " ;;\n";
      else if (flag.takes_value)
        files += (files.empty() ? "" : "|") + shell_word(name + " " + flag.name);
    }
    words += "    " + shell_word(name) + ") words=" + shell_word(data::joined(all, " ")) + " ;;\n";
    if (!files.empty()) values += "    " + files + ") words='' ;;\n";
  }
  return "# bash completion of laurel; made by `laurel completion bash`\n"
         "_laurel() {\n"
         "  local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} command='' "
         "words i\n"
         "  _laurel_words() {\n"
         "    case \"$1\" in\n" +
         words +
         "    *) return 1 ;;\n    esac\n  }\n"
         "  for ((i = 1; i < COMP_CWORD; ++i)); do\n"
         "    _laurel_words \"${command:+$command }${COMP_WORDS[i]}\" || break\n"
         "    command=\"${command:+$command }${COMP_WORDS[i]}\"\n"
         "  done\n"
         "  _laurel_words \"$command\"\n"
         "  case \"$command $before\" in\n" +
         values +
         "  esac\n"
         "  COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n"
         "  [[ ${#COMPREPLY[@]} -gt 0 ]] || { compopt -o filenames; COMPREPLY=($(compgen -f -- "
         "\"$current\")); }\n"
         "}\n"
         "complete -F _laurel laurel\n";
}

// zsh completes by the functions of bash.
std::string zsh_script(const std::vector<CommandPage>& pages) {
  return "#compdef laurel\n# made by `laurel completion zsh`\n"
         "autoload -U +X bashcompinit && bashcompinit\n" +
         bash_script(pages);
}

// fish: a line of its own for each word, on the condition that the line begins with its command.
std::string fish_script(const std::vector<CommandPage>& pages) {
  std::string text =
      "# fish completion of laurel; made by `laurel completion fish`\n"
      "function __laurel_at\n"
      "  set -l words (commandline -opc)[2..-1]\n"
      "  test (count $words) -ge (count $argv); or return 1\n"
      "  test (count $argv) -eq 0; or test \"$words[1..(count $argv)]\" = \"$argv\"\n"
      "end\n";
  for (const auto& page : pages) {
    const std::string name = data::joined(page.words, " "),
                      start = "complete -c laurel -n '__laurel_at " + name + "'";
    if (page.words.size() == 1)
      text += "complete -c laurel -n __fish_use_subcommand -f -a " + name + " -d " +
              shell_word(page.summary) + "\n";
    for (const auto& word : page.subcommands) text += start + " -a " + word + "\n";
    for (const auto& flag : flags_of(page))
      text +=
          start + " -l " + flag.name.substr(2) + (flag.takes_value ? " -r" : "") +
          (flag.choices.empty() ? "" : " -f -a " + shell_word(data::joined(flag.choices, " "))) +
          " -d " + shell_word(flag.help) + "\n";
  }
  return text;
}

struct Shell {
  const char* name;
  std::string (*script)(const std::vector<CommandPage>& pages);
};
constexpr Shell kShells[] = {{"bash", bash_script}, {"zsh", zsh_script}, {"fish", fish_script}};

int completion_command(const std::vector<std::string>& arguments) {
  std::vector<std::string> names;
  for (const Shell& shell : kShells) names.emplace_back(shell.name);
  Options options("completion",
                  "Prints what a shell needs to complete laurel's commands and options: "
                  "`source <(laurel completion bash)`.",
                  data::joined(names, "|"));
  options.positional_choices(names);
  const auto parsed = options.parse(arguments);
  if (!parsed.proceed) return 0;
  for (const Shell& shell : kShells) {
    if (parsed.positional != std::vector<std::string>{shell.name}) continue;
    std::cout << shell.script(command_pages(all_commands()));
    return 0;
  }
  throw data::BadInput("laurel completion: expected one of " + data::joined(names, ", ") +
                       ", found '" + data::joined(parsed.positional, " ") + "'");
}

}  // namespace

const Command kCompletion{"completion", "print shell completions", completion_command};

}  // namespace tools
