#pragma once

// What every command says of itself: the source of completions, manual pages and schemas.

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tools/cli/command.hpp"

namespace tools {

struct CommandPage {
  std::vector<std::string> words;        // {"world", "edits"}
  std::string summary;                   // one line
  std::vector<std::string> subcommands;  // names of its commands, and of what may stand for them
  nlohmann::json schema;                 // Options::schema(); null for a command without options
};

// Of all commands and their subcommands, depth first, in the order of the help.
std::vector<CommandPage> command_pages(const CommandList& commands);

// The page that `words` name. Throws BadInput for an unknown one, with the nearest.
const CommandPage& find_page(const std::vector<CommandPage>& pages,
                             const std::vector<std::string>& words);

// An option as it is written: "--train-batch-size".
std::string flag_of(const std::string& key);

// Whether a key of a schema is another name of a key.
bool is_alias(const nlohmann::json& property);

}  // namespace tools
