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

// Rare: an option that most runs leave alone. --help passes over it, --help-all shows it.
enum class Rarity { kUsual, kRare };

class Options {
 public:
  Options(std::string command, std::string summary, std::string positional_help = "");

  // Starts a titled group of --help.
  void group(const std::string& title);
  // Of the one option that is declared next: options.rare().number("eta", eta, "noise", 0, 1).
  Options& rare(Rarity rarity = Rarity::kRare);

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
  struct Option {
    std::string key, group, help;
    Kind kind;
    Rarity rarity = Rarity::kUsual;
    char letter = 0;
    bool given = false;
    std::function<void(const std::vector<std::string>& values, const std::string& where)> set{};
    std::function<std::string()> toml{};  // the current value, as TOML
  };
  std::string command_, summary_, positional_help_, group_;
  Rarity next_rarity_ = Rarity::kUsual;
  std::vector<Option> options_;
  std::vector<std::pair<std::string, std::string>> aliases_;  // other spelling, key
  Option& add(const std::string& key, Kind kind, const std::string& help);
  Option* find(const std::string& key);
  Option& require(const std::string& key, const std::string& where);
  void read_toml(const std::filesystem::path& path);
  std::vector<std::string> read_flags(const std::vector<std::string>& arguments);
};

}  // namespace tools
