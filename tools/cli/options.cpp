#define CXXOPTS_VECTOR_DELIMITER '\0'  // a comma inside a prompt does not split it
#define CXXOPTS_NO_REGEX true          // std::regex recurses on long values
#include "tools/cli/options.hpp"

#include <algorithm>
#include <cxxopts.hpp>
#include <iostream>
#include <nlohmann/json.hpp>
#include <set>

#include "data/base/error.hpp"
#include "data/base/log.hpp"
#include "data/base/strings.hpp"
#include "tools/cli/config_file.hpp"
#include "tools/cli/other_names.hpp"

using data::BadInput;

namespace tools {
namespace {

std::string canonical(std::string key) {
  std::replace(key.begin(), key.end(), '-', '_');
  return key;
}

constexpr size_t kHelpColumn = 32, kHelpWidth = 120;

// Wraps text between words at kHelpWidth; all lines but the first begin at kHelpColumn.
std::string wrapped(const std::string& text) {
  std::string lines;
  size_t start = 0;
  while (text.size() - start > kHelpWidth - kHelpColumn) {
    size_t end = text.rfind(' ', start + kHelpWidth - kHelpColumn);
    if (end == std::string::npos || end <= start) break;
    lines += text.substr(start, end - start) + "\n" + std::string(kHelpColumn, ' ');
    start = end + 1;
  }
  return lines + text.substr(start);
}

// What a command says while it works (data/base/log.hpp), which is one for the whole process.
struct LogOptions {
  std::string level = "info", file;
  bool json = false;
};

constexpr const char* kLogKeys[] = {"log_level", "log_file", "log_json"};

bool is_of_log(const std::string& key) {
  return std::find(std::begin(kLogKeys), std::end(kLogKeys), key) != std::end(kLogKeys);
}

// Declares the options of the log. They write to one place, which keeps the values of the last
// command that was read.
LogOptions& declare_log(Options& options) {
  static LogOptions log;
  log = {};
  options.group("Log (of every command)");
  options.rare().choice(
      kLogKeys[0], log.level, data::log_level_names(),
      "what is said on stderr: faults alone, warnings too, progress too, or every line of "
      "metrics and the whole configuration too");
  options.rare().text(kLogKeys[1], log.file, "file to which the same lines are appended");
  options.rare().flag(
      kLogKeys[2], log.json,
      "each line of the log is a JSON object: time, level, message, and the figures of a "
      "step or of the progress; no progress bar");
  return log;
}

void start_log_of(const LogOptions& log) {
  const auto& names = data::log_level_names();
  const auto place = std::find(names.begin(), names.end(), log.level) - names.begin();
  data::start_log(
      {.level = static_cast<data::LogLevel>(place), .file = log.file, .json = log.json});
}

// Those of other programs for the keys that the command has.
void add_other_names(Options& options) {
  const nlohmann::json keys = options.schema().at("properties");
  std::set<std::string> known;
  for (const auto& [key, property] : keys.items()) known.insert(key);
  for (const OtherName& row : other_names()) {
    const bool fits = known.contains(row.key) && (!row.beside || known.contains(row.beside));
    if (fits && known.insert(row.name).second) options.alias(row.name, row.key);
  }
}

}  // namespace

Options::Options(std::string command, std::string summary, std::string positional_help)
    : command_(std::move(command)),
      summary_(std::move(summary)),
      positional_help_(std::move(positional_help)) {}

void Options::group(const std::string& title) { group_ = title; }

Options& Options::rare(Rarity rarity) {
  next_rarity_ = rarity;
  return *this;
}

Options::Option& Options::add(const std::string& key, ValueType type, const std::string& help) {
  options_.push_back(
      {.key = key, .group = group_, .help = help, .type = type, .rarity = next_rarity_});
  next_rarity_ = Rarity::kUsual;
  return options_.back();
}

void Options::short_name(const std::string& key, char letter) {
  require(key, "short_name").letter = letter;
}

void Options::positional_choices(const std::vector<std::string>& words) {
  positional_choices_ = words;
}

void Options::alias(const std::string& other, const std::string& key) {
  aliases_.emplace_back(other, key);
}

Options::Option* Options::find(const std::string& key) {
  std::string wanted = canonical(key);
  for (const auto& [other, known] : aliases_) {
    if (other == wanted) wanted = known;
  }
  for (auto& option : options_) {
    if (option.key == wanted) return &option;
  }
  return nullptr;
}

Options::Option& Options::require(const std::string& key, const std::string& where) {
  if (Option* option = find(key)) return *option;
  for (const Advice& advice : option_advice()) {
    if (canonical(key) == advice.name) throw BadInput(where + ": unknown; " + advice.text);
  }
  std::vector<std::string> keys{"config", "help"};
  for (const auto& option : options_) keys.push_back(option.key);
  const std::string near = data::nearest(canonical(key), keys);
  throw BadInput(where + ": unknown" + (near.empty() ? "" : "; did you mean " + near + "?") +
                 " (`laurel " + command_ + " --help` lists all)");
}

void Options::read_toml(const std::filesystem::path& path) {
  for (const auto& entry : read_config_file(path)) {
    Option& option = require(entry.key, entry.where);
    if (entry.is_array && option.type != ValueType::kList)
      throw BadInput(entry.where + ": expected one value, found an array");
    if (option.type == ValueType::kText && !entry.is_text)
      throw BadInput(entry.where + ": expected a text in quotes");
    option.set(entry.words, entry.where);
    option.given = true;
  }
}

// The option that an argument names, with its value where it stands in the same argument.
Options::Named Options::named_by(const std::string& argument) {
  if (argument.starts_with("--")) {
    const size_t equals = argument.find('=');
    Named named{
        .key = canonical(argument.substr(2, equals == std::string::npos ? equals : equals - 2)),
        .value = {}};
    if (equals != std::string::npos) named.value = argument.substr(equals + 1);
    if (named.key != "config") named.key = require(named.key, "--" + named.key).key;
    return named;
  }
  for (const auto& option : options_) {
    if (option.letter != argument[1]) continue;
    Named named{.key = option.key, .value = {}};
    if (argument.size() > 2) named.value = argument.substr(2);
    return named;
  }
  throw BadInput(argument.substr(0, 2) + ": unknown (`laurel " + command_ + " --help` lists all)");
}

// Throws BadInput where the value is missing, or another option stands in its place.
void Options::check_value(const std::string& argument, const std::string* value) {
  if (!value) throw BadInput(argument + ": expected a value after it, found none");
  const std::string key = value->substr(0, value->find('='));
  if (key.starts_with("--") && (key == "--config" || key == "--help" || find(key.substr(2))))
    throw BadInput(argument + ": expected a value after it, found the option " + key + "; write " +
                   argument + (argument.starts_with("--") ? "=" : "") + *value +
                   " where it is the value");
}

// The arguments with each value joined to its option as --key=value: what follows an option that
// takes a value is that value, whatever it begins with.
std::vector<std::string> Options::joined_values(const std::vector<std::string>& arguments) {
  std::vector<std::string> joined;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    if (argument == "--") {
      joined.insert(joined.end(), arguments.begin() + static_cast<std::ptrdiff_t>(i),
                    arguments.end());
      break;
    }
    if (argument.size() < 2 || argument[0] != '-') {
      joined.push_back(argument);
      continue;
    }
    const Named named = named_by(argument);
    const Option* const option = find(named.key);
    const bool is_flag = option && option->type == ValueType::kFlag;
    if (!named.value && !is_flag)
      check_value(argument, i + 1 < arguments.size() ? &arguments[i + 1] : nullptr);
    joined.push_back("--" + named.key + "=" +
                     (named.value ? *named.value
                      : is_flag   ? "true"
                                  : arguments[++i]));
  }
  return joined;
}

std::vector<std::string> Options::read_flags(const std::vector<std::string>& arguments) {
  cxxopts::Options parser("laurel " + command_);
  auto declare = parser.add_options();
  declare("config", "", cxxopts::value<std::string>());
  for (const auto& option : options_) {
    if (option.type == ValueType::kList)
      declare(option.key, "", cxxopts::value<std::vector<std::string>>());
    else
      declare(option.key, "", cxxopts::value<std::string>());
  }
  parser.add_options()("positional", "", cxxopts::value<std::vector<std::string>>());
  parser.parse_positional("positional");

  std::vector<const char*> argv{"laurel"};
  for (const auto& argument : arguments) argv.push_back(argument.c_str());
  try {
    const auto result = parser.parse(static_cast<int>(argv.size()), argv.data());
    if (result.count("config")) read_toml(result["config"].as<std::string>());
    for (auto& option : options_) {
      if (!result.count(option.key)) continue;
      option.set(option.type == ValueType::kList
                     ? result[option.key].as<std::vector<std::string>>()
                     : std::vector<std::string>{result[option.key].as<std::string>()},
                 "--" + option.key);
      option.given = true;
    }
    return result.count("positional") ? result["positional"].as<std::vector<std::string>>()
                                      : std::vector<std::string>{};
  } catch (const cxxopts::exceptions::exception& error) {
    throw BadInput("laurel " + command_ + ": " + error.what());
  }
}

Options::Parsed Options::parse(const std::vector<std::string>& arguments) {
  LogOptions& log = declare_log(*this);
  add_other_names(*this);
  const auto end = std::find(arguments.begin(), arguments.end(), "--");
  const auto help_asked = std::find_if(arguments.begin(), end, [](const std::string& argument) {
    return argument == "--help" || argument == "--help-all" || argument == "--help-json";
  });
  if (help_asked != end) {
    std::cout << (*help_asked == "--help-json" ? schema().dump(1) + "\n"
                                               : help(*help_asked == "--help-all"));
    return {.proceed = false, .positional = {}};
  }
  Parsed parsed{.proceed = true, .positional = read_flags(joined_values(arguments))};
  start_log_of(log);
  data::log_debug("laurel " + command_ + ", the configuration:\n" + resolved());
  return parsed;
}

bool Options::declares(const std::string& key) const {
  return std::any_of(options_.begin(), options_.end(),
                     [&](auto& option) { return option.key == key; });
}

bool Options::given(const std::string& key) const {
  return std::any_of(options_.begin(), options_.end(),
                     [&](auto& option) { return option.key == key && option.given; });
}

std::string Options::resolved() const {
  std::string text;
  for (const auto& option : options_) {
    if (!is_of_log(option.key)) text += option.key + " = " + option.toml() + "\n";
  }
  return text;
}

std::string Options::help(bool all) const {
  std::string text = "laurel " + command_ +
                     (positional_help_.empty() ? "" : " " + positional_help_) + " [options]\n" +
                     summary_ + "\n";
  std::string group = "\n";
  int64_t left_out = 0;
  for (const auto& option : options_) {
    if (option.rarity == Rarity::kRare && !all) {
      ++left_out;
      continue;
    }
    if (option.group != group) text += "\n" + (option.group.empty() ? "" : option.group + ":\n");
    group = option.group;
    std::string left = std::string("  ") +
                       (option.letter ? std::string("-") + option.letter + ", " : "") + "--" +
                       option.key;
    std::replace(left.begin(), left.end(), '_', '-');
    left.resize(std::max<size_t>(left.size() + 2, kHelpColumn), ' ');
    std::string value = option.toml();  // shown as on the command line: without quotes and brackets
    std::erase_if(value, [](char c) { return c == '"' || c == '\'' || c == '[' || c == ']'; });
    const bool silent = value.empty() || value == "false";
    text += left + wrapped(option.help + (silent ? "" : " [" + value + "]")) + "\n";
  }
  text +=
      "\n  --config FILE                 reads the same keys from a TOML file; flags take "
      "precedence\n";
  if (left_out)
    text += "  --help-all                    " + std::to_string(left_out) + " more options\n";
  return text;
}

}  // namespace tools
