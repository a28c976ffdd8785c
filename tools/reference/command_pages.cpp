#include "tools/reference/command_pages.hpp"

#include <algorithm>
#include <iostream>
#include <sstream>

#include "data/base/error.hpp"
#include "data/base/strings.hpp"

namespace tools {
namespace {

// Standard output of this thread's code while the object lives.
class CapturedOutput {
 public:
  CapturedOutput() : before_(std::cout.rdbuf(text_.rdbuf())) {}
  ~CapturedOutput() { std::cout.rdbuf(before_); }
  CapturedOutput(const CapturedOutput&) = delete;
  CapturedOutput& operator=(const CapturedOutput&) = delete;
  std::string text() const { return text_.str(); }

 private:
  std::ostringstream text_;
  std::streambuf* before_;
};

nlohmann::json schema_of(const Command& command) {
  if (!command.has_options) return nullptr;
  const CapturedOutput output;
  command.run({"--help-json"});
  return nlohmann::json::parse(output.text());
}

void add_pages(const CommandList& commands,
               const std::vector<std::string>& parent,
               std::vector<CommandPage>& pages) {
  for (const Command* command : commands) {
    CommandPage page{.words = parent, .summary = command->summary, .subcommands = {}, .schema = {}};
    page.words.emplace_back(command->name);
    page.schema = schema_of(*command);
    if (command->subcommands) page.subcommands = names_of(command->subcommands());
    if (page.schema.contains("x-positional-choices")) {
      for (const auto& word : page.schema["x-positional-choices"]) page.subcommands.push_back(word);
    }
    pages.push_back(page);
    if (command->subcommands) add_pages(command->subcommands(), page.words, pages);
  }
}

}  // namespace

std::vector<CommandPage> command_pages(const CommandList& commands) {
  std::vector<CommandPage> pages;
  add_pages(commands, {}, pages);
  return pages;
}

const CommandPage& find_page(const std::vector<CommandPage>& pages,
                             const std::vector<std::string>& words) {
  std::vector<std::string> names;
  for (const auto& page : pages) {
    if (page.words == words) return page;
    names.push_back(data::joined(page.words, " "));
  }
  const std::string found = data::joined(words, " "), near = data::nearest(found, names);
  throw data::BadInput("expected a command of laurel, found '" + found + "'" +
                       (near.empty() ? "" : "; did you mean " + near + "?") +
                       " (`laurel --help` lists all)");
}

std::string flag_of(const std::string& key) {
  std::string flag = "--" + key;
  std::replace(flag.begin(), flag.end(), '_', '-');
  return flag;
}

bool is_alias(const nlohmann::json& property) { return property.contains("$ref"); }

}  // namespace tools
