#include "tools/reference/schema_command.hpp"

#include <iostream>

#include "data/base/error.hpp"
#include "data/base/strings.hpp"
#include "tools/cli/options.hpp"
#include "tools/commands.hpp"
#include "tools/reference/command_pages.hpp"

namespace tools {
namespace {

int schema_command(const std::vector<std::string>& arguments) {
  Options options("schema",
                  "Prints the JSON schema of a command's configuration file (--config, TOML), with "
                  "which editors complete and check it.",
                  "COMMAND [SUBCOMMAND]");
  const auto parsed = options.parse(arguments);
  if (!parsed.proceed) return 0;
  if (parsed.positional.empty())
    throw data::BadInput("laurel schema: expected a command, found none; `laurel schema sample`");
  const auto pages = command_pages(all_commands());
  const CommandPage& page = find_page(pages, parsed.positional);
  if (page.schema.is_null())
    throw data::BadInput("laurel schema: expected one of " + data::joined(page.subcommands, ", ") +
                         " after " + data::joined(page.words, " ") + ", found none");
  std::cout << page.schema.dump(1) << "\n";
  return 0;
}

}  // namespace

const Command kSchema{"schema", "print the JSON schema of a command's configuration file",
                      schema_command};

}  // namespace tools
