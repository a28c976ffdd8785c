#pragma once

// Files of settings (TOML: a "key = value" a line), for --config and for the config.toml of a run.

#include <filesystem>
#include <string>
#include <vector>

namespace tools {

struct ConfigEntry {
  std::string key;
  std::string where;               // "path:line: key", for messages
  std::vector<std::string> words;  // the value as on the command line
  bool is_array = false, is_text = false;
};

// In the order of the file. Throws BadInput naming the file, and the line where there is one: for
// what is not TOML, for tables, dates and dotted keys of more than 100 parts, and for files larger
// than 1 MiB.
std::vector<ConfigEntry> read_config_file(const std::filesystem::path& path);

// As a value in such a file: text in quotes, a number with its point.
std::string toml_text(const std::string& value);
std::string toml_number(double value);

}  // namespace tools
