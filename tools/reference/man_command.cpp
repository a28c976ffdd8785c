#include "tools/reference/man_command.hpp"

#include <algorithm>
#include <iostream>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/strings.hpp"
#include "tools/cli/options.hpp"
#include "tools/cli/version.hpp"
#include "tools/commands.hpp"
#include "tools/reference/command_pages.hpp"
#include "tools/reference/conventions.hpp"

namespace tools {
namespace {

// Text as roff has it: no letter of it is a command, and a dash is a dash.
std::string roff(const std::string& text) {
  std::string safe;
  for (const char c : text) {
    if (c == '\\')
      safe += "\\e";
    else if (c == '-')
      safe += "\\-";
    else
      safe += c;
  }
  return safe.starts_with('.') || safe.starts_with('\'') ? "\\&" + safe : safe;
}

std::string default_of(const nlohmann::json& property) {
  const nlohmann::json value = property.value("default", nlohmann::json());
  if (value.is_null() || value == "" || value == false || value == nlohmann::json::array())
    return "";
  return " [" + (value.is_string() ? value.get<std::string>() : value.dump()) + "]";
}

std::string option_text(const std::string& key, const nlohmann::json& property) {
  std::string names = "\\fB" + roff(flag_of(key)) + "\\fR";
  if (property.contains("x-letter"))
    names = "\\fB\\-" + property["x-letter"].get<std::string>() + "\\fR, " + names;
  for (const auto& other : property.value("x-aliases", nlohmann::json::array()))
    names += ", \\fB" + roff(flag_of(other)) + "\\fR";
  const std::string type = property["type"];
  if (type != "boolean") names += " \\fI" + roff(type == "array" ? "string ..." : type) + "\\fR";
  return ".TP\n" + names + "\n" +
         roff(property["description"].get<std::string>() + default_of(property)) + "\n";
}

// The options by group, in the order of their keys; those that are rarely needed last.
std::string options_text(const nlohmann::json& schema) {
  std::string usual, rare;
  for (const auto& [key, property] : schema["properties"].items()) {
    if (is_alias(property)) continue;
    (property.value("x-rare", false) ? rare : usual) += option_text(key, property);
  }
  return ".SH OPTIONS\n" + usual + (rare.empty() ? "" : ".SH RARELY NEEDED\n" + rare) +
         ".SH CONFIGURATION\n" +
         roff(
             "--config FILE reads the same keys, with _ instead of -, "
             "from a TOML file; flags take precedence.") +
         "\n";
}

std::string page_name(const std::vector<std::string>& words) {
  return words.empty() ? "laurel" : "laurel-" + data::joined(words, "-");
}

std::string heading(const std::vector<std::string>& words, const std::string& summary) {
  std::string title = page_name(words);
  std::transform(title.begin(), title.end(), title.begin(), ::toupper);
  return ".TH \"" + roff(title) + "\" 1 \"\" \"laurel " + std::string(kVersion) + "\"\n.SH NAME\n" +
         roff(page_name(words)) + " \\- " + roff(summary) + "\n";
}

// Exit codes, and what is read of the environment.
std::string common_text() {
  std::string text = ".SH EXIT STATUS\n";
  for (const auto& row : exit_codes())
    text += ".TP\n\\fB" + roff(row.name) + "\\fR\n" + roff(row.meaning) + "\n";
  text += ".SH ENVIRONMENT\n";
  for (const auto& row : environment_variables())
    text += ".TP\n\\fB" + roff(row.name) + "\\fR\n" + roff(row.meaning) + "\n";
  return text;
}

std::string page_text(const CommandPage& page) {
  const std::string positional =
      page.schema.is_null() ? "COMMAND" : page.schema["x-positional"].get<std::string>();
  std::string text = heading(page.words, page.summary) + ".SH SYNOPSIS\n\\fBlaurel " +
                     roff(data::joined(page.words, " ")) + "\\fR " + roff(positional) +
                     (page.schema.is_null() ? "\n" : " [options]\n");
  if (!page.schema.is_null()) text += ".SH DESCRIPTION\n" + roff(page.schema["description"]) + "\n";
  if (!page.subcommands.empty())
    text += ".SH COMMANDS\n" + roff(data::joined(page.subcommands, ", ")) + "\n";
  return text + (page.schema.is_null() ? "" : options_text(page.schema)) + common_text();
}

std::string overview(const std::vector<CommandPage>& pages) {
  std::string text =
      heading({}, "reward finetuning of latent diffusion models") +
      ".SH SYNOPSIS\n\\fBlaurel\\fR COMMAND [options]\n.SH DESCRIPTION\n"
      "Samples images from checkpoints, scores them with rewards, and trains the network to earn "
      "more of them.\n.SH COMMANDS\n";
  for (const auto& page : pages)
    text += ".TP\n\\fBlaurel " + roff(data::joined(page.words, " ")) + "\\fR\n" +
            roff(page.summary) + "\n";
  return text + common_text();
}

int man_command(const std::vector<std::string>& arguments) {
  std::string folder;
  Options options("man", "Prints the manual page of laurel or of a command, or writes all of them.",
                  "[COMMAND [SUBCOMMAND]]");
  options.text("out", folder, "folder for all pages: laurel.1, laurel-sample.1, ...");
  const auto parsed = options.parse(arguments);
  if (!parsed.proceed) return 0;
  const auto pages = command_pages(all_commands());
  if (folder.empty()) {
    std::cout << (parsed.positional.empty() ? overview(pages)
                                            : page_text(find_page(pages, parsed.positional)));
    return 0;
  }
  if (!parsed.positional.empty())
    throw data::BadInput("laurel man: expected --out FOLDER or a command, found both");
  const std::filesystem::path out = folder;
  data::write_file(out / "laurel.1", overview(pages));
  for (const auto& page : pages)
    data::write_file(out / (page_name(page.words) + ".1"), page_text(page));
  std::cout << pages.size() + 1 << " manual pages in " << folder << "\n";
  return 0;
}

}  // namespace

const Command kMan{"man", "print manual pages", man_command};

}  // namespace tools
