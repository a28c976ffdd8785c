#pragma once

// The options of a subcommand. Each is declared once, bound to a field of a config struct whose
// value is the default; the declaration makes the flag (--key, `-` and `_` interchangeable), the
// TOML key, the range check, the line of --help and the entry of the resolved configuration. The
// command line wins over the file.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <string>
#include <vector>

namespace tools {

class Options {
 public:
  Options(std::string command, std::string summary, std::string positional_help = "");

  // Starts a titled group of --help.
  void group(const std::string& title);

  void integer(const std::string& key,
               int64_t& target,
               const std::string& help,
               int64_t min = std::numeric_limits<int64_t>::min(),
               int64_t max = std::numeric_limits<int64_t>::max());
  void number(
      const std::string& key, double& target, const std::string& help, double min, double max);
  void text(const std::string& key, std::string& target, const std::string& help);
  void choice(const std::string& key,
              std::string& target,
              const std::vector<std::string>& allowed,
              const std::string& help);
  void flag(const std::string& key, bool& target, const std::string& help);
  // May be given several times, or as a TOML array.
  void list(const std::string& key, std::vector<std::string>& target, const std::string& help);

  // A single-letter form of a declared key: short_name("steps", 's').
  void short_name(const std::string& key, char letter);
  // Another spelling of a declared key, as another tool names it: alias("network_dim", "rank").
  void alias(const std::string& other, const std::string& key);

  // Keys that most runs leave alone: --help passes over them, --help-all shows them.
  void rarely(const std::vector<std::string>& keys);

  // Reads `--config FILE` (TOML), then the flags. Returns the positional arguments. Prints help and
  // returns false in `proceed` when --help is asked for. Unknown keys (the nearest valid one is
  // named), wrong types and values out of range throw BadInput with the file and line, or the flag.
  struct Parsed {
    bool proceed = true;
    std::vector<std::string> positional;
  };
  Parsed parse(const std::vector<std::string>& arguments);

  // Was this key given, by file or flag?
  bool given(const std::string& key) const;

  // The resolved configuration as TOML, every key with its value; `parse` reads it back to the same
  // values.
  std::string resolved() const;

  std::string help(bool all = false) const;

 private:
  enum class Kind { kInteger, kNumber, kText, kFlag, kList };
  struct Entry {
    std::string key, group, help, range;
    Kind kind;
    char letter = 0;
    bool rare = false;
    bool given = false;
    std::function<void(const std::vector<std::string>& values, const std::string& where)> set;
    std::function<std::string()> toml;  // the current value, as TOML
  };
  std::string command_, summary_, positional_help_, group_;
  std::vector<Entry> entries_;
  std::vector<std::pair<std::string, std::string>> aliases_;  // other spelling, key
  Entry& add(const std::string& key, Kind kind, const std::string& help);
  Entry* find(const std::string& key);
  Entry& require(const std::string& key, const std::string& where);
  void read_toml(const std::filesystem::path& path);
  std::vector<std::string> read_flags(const std::vector<std::string>& arguments);
};

}  // namespace tools
