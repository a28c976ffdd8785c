#include "rewards/pairs/choices.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <functional>
#include <nlohmann/json.hpp>

#include "data/base/csv.hpp"
#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "data/unicode/encoding.hpp"
#include "data/unicode/utf8.hpp"
#include "rewards/pairs/choice_folders.hpp"

namespace fs = std::filesystem;
using nlohmann::json;

namespace rewards {
namespace {

constexpr size_t kMostChoices = 4'000'000;
constexpr size_t kLongestRanking = 256;           // images
constexpr size_t kMostLetters = size_t{1} << 28;  // of a ranking's texts, in all of its pairs
constexpr double kLargestWeight = 1e6;
constexpr size_t kLongestName = 200;  // bytes of a person's

struct ChoiceLine {
  const json& object;
  const std::string& where;
  const fs::path& folder;

  [[noreturn]] void refuse(const std::string& what) const {
    throw data::BadInput(where + ": " + what +
                         "; expected a choice, as {\"prompt\", \"a\", \"b\", \"winner\"} "
                         "(docs/rewards.md lists the forms)");
  }
  [[noreturn]] void refuse_key(const char* key, const std::string& what) const {
    refuse(key + what);
  }
  bool has(const char* key) const { return object.contains(key); }
  std::string text(const char* key) const {
    if (!has(key) || !object[key].is_string()) refuse_key(key, " is no text");
    return object[key].get<std::string>();
  }
  fs::path file(const char* key) const {
    const std::string name = text(key);
    if (name.empty()) refuse_key(key, " is empty");
    return folder / name;
  }
  double number(const char* key) const {
    if (!has(key) || !object[key].is_number()) refuse_key(key, " is no number");
    return object[key].get<double>();
  }
  std::vector<double> numbers(const char* key) const {
    std::vector<double> values;
    if (!has(key) || !object[key].is_array()) refuse_key(key, " is no list");
    for (const auto& value : object[key]) {
      if (!value.is_number()) refuse_key(key, " holds no number");
      values.push_back(value.get<double>());
    }
    return values;
  }
  std::vector<fs::path> files(const char* key) const {
    std::vector<fs::path> paths;
    if (!has(key) || !object[key].is_array()) refuse_key(key, " is no list");
    for (const auto& value : object[key]) {
      if (!value.is_string()) refuse_key(key, " holds no path");
      paths.push_back(folder / value.get<std::string>());
    }
    return paths;
  }
  std::string person() const {
    for (const char* key : {"person", "user_id", "user_hash"}) {
      if (!has(key) || object[key].is_null()) continue;
      if (object[key].is_number_integer()) return std::to_string(object[key].get<int64_t>());
      const std::string name = text(key);
      if (name.size() > kLongestName)
        refuse_key(key,
                   ": expected a name of at most 200 bytes, found " + std::to_string(name.size()));
      return name;
    }
    return "";
  }
  std::optional<double> preference() const {
    if (!has("p") || object["p"].is_null()) return std::nullopt;
    const double value = number("p");
    if (!(value >= 0 && value <= 1))
      refuse("p: expected a number between 0 and 1, found " + data::to_text(object["p"]));
    return value;
  }
  double margin() const {
    if (!has("margin") || object["margin"].is_null()) return 0;
    const double value = number("margin");
    if (!(value >= 0 && std::isfinite(value)))
      refuse("margin: expected a number of at least 0, found " + data::to_text(object["margin"]));
    return value;
  }
  double weight() const {
    if (!has("weight") || object["weight"].is_null()) return 1;
    const double value = number("weight");
    if (!(value > 0 && value <= kLargestWeight))
      refuse("weight: expected a number above 0 and at most 1e6, found " +
             data::to_text(object["weight"]));
    return value;
  }
};

Answer answer_of(double worth_a, double worth_b) {
  return worth_a == worth_b ? Answer::kTie : worth_a > worth_b ? Answer::kA : Answer::kB;
}

Answer answer_called(const ChoiceLine& line) {
  const std::string winner = line.text("winner");
  if (winner == "a") return Answer::kA;
  if (winner == "b") return Answer::kB;
  if (winner == "tie") return Answer::kTie;
  if (winner == "both_bad") return Answer::kBothBad;
  line.refuse("winner: expected a, b, tie or both_bad, found '" + data::shortened(winner, 40) +
              "'");
}

void add(const ChoiceLine& line, Choice choice, Choices& choices) {
  choice.person = line.person();
  choice.weight = line.weight();
  choices.pairs.push_back(std::move(choice));
}

// Every pair of a ranked list; larger is better.
void add_ranked(const ChoiceLine& line,
                const char* files_key,
                const std::vector<double>& worth,
                Choices& choices) {
  const auto files = line.files(files_key);
  if (files.size() != worth.size() || files.size() < 2 || files.size() > kLongestRanking)
    line.refuse(std::string(files_key) + ": " + std::to_string(files.size()) + " images, " +
                std::to_string(worth.size()) + " ranks (2 to 256 of each)");
  const std::string prompt = line.text("prompt");
  size_t letters = prompt.size() * files.size() / 2;
  for (const auto& file : files) letters += file.native().size();
  if (letters * (files.size() - 1) > kMostLetters)
    line.refuse(std::string(files_key) + ": texts too long for a ranking of " +
                std::to_string(files.size()) + " images");
  for (size_t i = 0; i < files.size(); ++i) {
    for (size_t j = i + 1; j < files.size(); ++j)
      add(line, {prompt, files[i], files[j], answer_of(worth[i], worth[j])}, choices);
  }
}

std::vector<double> negated(std::vector<double> values) {
  for (auto& value : values) value = -value;
  return values;
}

void add_like(const ChoiceLine& line, const char* key, Choices& choices) {
  choices.likes.push_back({line.has("prompt") ? line.text("prompt") : "", line.file(key),
                           std::string(key) == "like", line.person(), line.weight()});
}

void add_pick(const ChoiceLine& line, Choices& choices) {
  if (line.has("has_label") && line.object["has_label"] == false) return;
  add(line,
      {line.text("caption"), line.file("image_0"), line.file("image_1"),
       answer_of(line.number("label_0"), line.number("label_1"))},
      choices);
}

void add_line(const ChoiceLine& line, Choices& choices) {
  if (line.has("winner")) {
    add(line, {line.text("prompt"), line.file("a"), line.file("b"), answer_called(line)}, choices);
    choices.pairs.back().p = line.preference();
    choices.pairs.back().margin = line.margin();
  } else if (line.has("like") || line.has("dislike")) {
    if (line.has("like") && line.has("dislike")) line.refuse("holds like and dislike");
    add_like(line, line.has("like") ? "like" : "dislike", choices);
  } else if (line.has("pos_path")) {
    add(line, {line.text("prompt"), line.file("pos_path"), line.file("neg_path")}, choices);
  } else if (line.has("ranking")) {
    add_ranked(line, "generations", negated(line.numbers("ranking")), choices);
  } else if (line.has("human_preference")) {
    add_ranked(line, line.has("file_path") ? "file_path" : "image_path",
               line.numbers("human_preference"), choices);
  } else if (line.has("rank")) {
    add_ranked(line, "image_path", negated(line.numbers("rank")), choices);
  } else if (line.has("label_0") || line.has("has_label")) {
    add_pick(line, choices);
  } else {
    line.refuse("none of the known forms");
  }
}

using TakeLine = std::function<void(const json& object, const std::string& where)>;

// A field of a table as JSON has it: labels and weights are numbers, an empty field is absent.
void set_field(json& object, const std::string& key, const std::string& field) {
  if (field.empty() && key != "prompt" && key != "caption") return;
  if (key == "label_0" || key == "label_1" || key == "weight" || key == "p" || key == "margin") {
    char* end = nullptr;
    const double value = std::strtod(field.c_str(), &end);
    if (*end == '\0') {
      object[key] = value;
      return;
    }
  }
  if (key == "has_label" && (field == "False" || field == "false"))
    object[key] = false;
  else
    object[key] = field;
}

void for_each_row(const fs::path& path, const TakeLine& take) {
  const std::string text = data::decoded_text(data::read_file(path));
  const std::string fault = data::text_fault(text);
  if (!fault.empty()) throw data::BadInput(path.string() + ": " + fault);
  const auto table = data::parse_csv(text, path.string());
  data::check_commas(table, path.string());
  for (size_t i = 1; i < table.size(); ++i) {
    const std::string where = path.string() + ":" + std::to_string(table[i].number);
    if (table[i].fields.size() != table[0].fields.size())
      throw data::BadInput(where + ": expected " + std::to_string(table[0].fields.size()) +
                           " fields as in the first line, found " +
                           std::to_string(table[i].fields.size()));
    json object = json::object();
    for (size_t k = 0; k < table[i].fields.size(); ++k)
      set_field(object, table[0].fields[k], table[i].fields[k]);
    take(object, where);
  }
}

void for_each_entry(const fs::path& path, const TakeLine& take) {
  const json array = data::read_json(path);
  if (!array.is_array())
    throw data::BadInput(path.string() + ": expected an array of choices (one choice a line: " +
                         "call the file .jsonl)");
  for (size_t i = 0; i < array.size(); ++i) {
    const std::string where = path.string() + ": entry " + std::to_string(i + 1);
    if (!array[i].is_object())
      throw data::BadInput(where + ": expected an object, found " +
                           data::shortened(data::to_text(array[i]), 40));
    take(array[i], where);
  }
}

void for_each_object(const fs::path& path, const TakeLine& take) {
  if (path.extension() == ".csv") return for_each_row(path, take);
  if (path.extension() == ".json") return for_each_entry(path, take);
  data::for_each_line(path, [&](const std::string& text, const std::string& where) {
    take(data::parse_json_object(text, where), where);
  });
}

}  // namespace

double label_of(Answer answer) { return answer == Answer::kA ? 1 : answer == Answer::kB ? 0 : 0.5; }

Choices read_choices(const fs::path& path) {
  if (fs::is_directory(path)) return choices_in_folder(path);
  Choices choices;
  const fs::path folder = path.parent_path();
  for_each_object(path, [&](const json& object, const std::string& where) {
    add_line({object, where, folder}, choices);
    if (choices.pairs.size() + choices.likes.size() > kMostChoices)
      throw data::BadInput(where + ": expected at most 4,000,000 choices in a file; split it");
  });
  if (choices.pairs.empty() && choices.likes.empty())
    throw data::BadInput(path.string() + ": expected choices, found none");
  return choices;
}

}  // namespace rewards
