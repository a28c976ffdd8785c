#pragma once

// The options of a command. Each is declared once and bound to a field of a config struct, whose
// value is the default. The declaration defines the flag (--key, where `-` and `_` are
// interchangeable), the TOML key, the range check, the line of --help and the entry of the resolved
// configuration. The command line takes precedence over the file.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <nlohmann/json_fwd.hpp>
#include <optional>
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
  // Applies to the next declaration alone: options.rare().number("eta", eta, "noise", 0, 1).
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
  // May be repeated on the command line; an array in TOML.
  void list(const std::string& key, std::vector<std::string>& target, const std::string& help);

  // A single-letter form of a declared key: short_name("steps", 's').
  void short_name(const std::string& key, char letter);
  // The words that the first positional argument may be, where they are few.
  void positional_choices(const std::vector<std::string>& words);
  // Another name of a declared key, used by other tools: alias("network_dim", "rank").
  void alias(const std::string& other, const std::string& key);

  // Reads `--config FILE` (TOML), then the flags. Returns the positional arguments. --help,
  // --help-all and --help-json (the schema) print and set `proceed` to false. Throws BadInput, with
  // the file and line or the flag, for an unknown key (with the nearest valid one), a wrong type
  // and a value out of range.
  struct Parsed {
    bool proceed = true;
    std::vector<std::string> positional;
  };
  Parsed parse(const std::vector<std::string>& arguments);

  bool declares(const std::string& key) const;
  // Whether the file or the command line gave this key.
  bool given(const std::string& key) const;

  // The resolved configuration as TOML: every key with its value. `parse` reads it back.
  std::string resolved() const;

  std::string help(bool all = false) const;

  // The JSON schema (draft 2020-12) of a configuration file: of each key its type, range, default
  // and help. Beside the standard's words stand `x-group`, `x-rare`, `x-letter` and `x-aliases` of
  // a key, `x-command`, `x-positional` and `x-positional-choices` of the command.
  nlohmann::json schema() const;

 private:
  enum class ValueType { kInteger, kNumber, kText, kFlag, kList };
  struct Option {
    std::string key, group, help;
    ValueType type;
    Rarity rarity = Rarity::kUsual;
    char letter = 0;
    bool given = false;
    std::function<void(const std::vector<std::string>& values, const std::string& where)> set{};
    std::function<nlohmann::json()> schema{};  // type, range, and the current value as "default"
    std::string toml() const;                  // the current value
  };
  std::string command_, summary_, positional_help_, group_;
  std::vector<std::string> positional_choices_;
  Rarity next_rarity_ = Rarity::kUsual;
  std::vector<Option> options_;
  std::vector<std::pair<std::string, std::string>> aliases_;  // other spelling, key
  Option& add(const std::string& key, ValueType type, const std::string& help);
  Option* find(const std::string& key);
  Option& require(const std::string& key, const std::string& where);
  void read_toml(const std::filesystem::path& path);
  struct Named {
    std::string key;
    std::optional<std::string> value;
  };
  Named named_by(const std::string& argument);
  void check_value(const std::string& argument, const std::string* value);
  std::vector<std::string> joined_values(const std::vector<std::string>& arguments);
  std::vector<std::string> read_flags(const std::vector<std::string>& arguments);
};

}  // namespace tools
