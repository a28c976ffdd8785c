#include "tools/score/pair_file.hpp"

#include <nlohmann/json.hpp>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/json.hpp"

namespace fs = std::filesystem;
using nlohmann::json;

namespace tools {
namespace {

struct PairLine {
  const json& object;
  const std::string& where;
  const fs::path& folder;

  [[noreturn]] void refuse(const std::string& what) const {
    throw data::BadInput(where + ": " + what +
                         "; expected a pair of images and which is preferred (see laurel "
                         "eval-pairs --help)");
  }
  bool has(const char* key) const { return object.contains(key); }
  std::string text(const char* key) const {
    if (!has(key) || !object[key].is_string()) refuse(std::string(key) + " is no text");
    return object[key].get<std::string>();
  }
  fs::path file(const char* key) const { return folder / text(key); }
  double number(const char* key) const {
    if (!has(key) || !object[key].is_number()) refuse(std::string(key) + " is no number");
    return object[key].get<double>();
  }
  std::vector<double> numbers(const char* key) const {
    std::vector<double> values;
    if (!has(key) || !object[key].is_array()) refuse(std::string(key) + " is no list");
    for (const auto& value : object[key]) {
      if (!value.is_number()) refuse(std::string(key) + " holds no number");
      values.push_back(value.get<double>());
    }
    return values;
  }
  std::vector<fs::path> files(const char* key) const {
    std::vector<fs::path> paths;
    if (!has(key) || !object[key].is_array()) refuse(std::string(key) + " is no list");
    for (const auto& value : object[key]) {
      if (!value.is_string()) refuse(std::string(key) + " holds no path");
      paths.push_back(folder / value.get<std::string>());
    }
    return paths;
  }
};

double label_of(double worth_a, double worth_b) {
  return worth_a == worth_b ? 0.5 : worth_a > worth_b ? 1 : 0;
}

// Every pair of a ranked list; smaller ranks are better.
void add_ranked(const PairLine& line,
                const char* files_key,
                const std::vector<double>& worth,
                std::vector<PreferencePair>& pairs) {
  const auto files = line.files(files_key);
  if (files.size() != worth.size() || files.size() < 2)
    line.refuse(std::string(files_key) + ": " + std::to_string(files.size()) + " images, " +
                std::to_string(worth.size()) + " ranks");
  for (size_t i = 0; i < files.size(); ++i) {
    for (size_t j = i + 1; j < files.size(); ++j)
      pairs.push_back({line.text("prompt"), files[i], files[j], label_of(worth[i], worth[j])});
  }
}

std::vector<double> negated(std::vector<double> values) {
  for (auto& value : values) value = -value;
  return values;
}

void add_line(const PairLine& line, std::vector<PreferencePair>& pairs) {
  if (line.has("winner")) {
    const std::string winner = line.text("winner");
    if (winner != "a" && winner != "b" && winner != "tie")
      line.refuse("winner: expected a, b or tie, found '" + winner + "'");
    pairs.push_back({line.text("prompt"), line.file("a"), line.file("b"),
                     winner == "a"   ? 1.0
                     : winner == "b" ? 0.0
                                     : 0.5});
  } else if (line.has("pos_path")) {
    pairs.push_back({line.text("prompt"), line.file("pos_path"), line.file("neg_path"), 1});
  } else if (line.has("ranking")) {
    add_ranked(line, "generations", negated(line.numbers("ranking")), pairs);
  } else if (line.has("human_preference")) {
    add_ranked(line, "file_path", line.numbers("human_preference"), pairs);
  } else if (line.has("rank")) {
    add_ranked(line, "image_path", negated(line.numbers("rank")), pairs);
  } else if (line.has("label_0")) {
    pairs.push_back({line.text("caption"), line.file("image_0"), line.file("image_1"),
                     label_of(line.number("label_0"), line.number("label_1"))});
  } else {
    line.refuse("none of the known forms");
  }
}

}  // namespace

std::vector<PreferencePair> read_pairs(const fs::path& path) {
  std::vector<PreferencePair> pairs;
  const fs::path folder = path.parent_path();
  data::for_each_line(path, [&](const std::string& text, const std::string& where) {
    const json object = data::parse_json_object(text, where);
    add_line({object, where, folder}, pairs);
  });
  if (pairs.empty()) throw data::BadInput(path.string() + ": expected pairs, found none");
  return pairs;
}

}  // namespace tools
