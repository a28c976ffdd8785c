#include "tools/score/log.hpp"

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "data/storage/cut_line.hpp"

namespace fs = std::filesystem;

namespace tools {
namespace {

bool is_row(const nlohmann::json& json) {
  return json.is_object() && json.contains("file") && json["file"].is_string() &&
         json.contains("prompt") && json["prompt"].is_string() && json.contains("raw") &&
         json["raw"].is_array();
}

ScoreLog::Row row_of(const nlohmann::json& json) {
  ScoreLog::Row row{json["prompt"].get<std::string>(), {}};
  for (const auto& value : json["raw"])
    row.raw.push_back(value.is_number() ? value.get<double>()
                                        : std::numeric_limits<double>::quiet_NaN());
  return row;
}

}  // namespace

ScoreLog::ScoreLog(fs::path path, const std::string& rewards) : path_(std::move(path)) {
  nlohmann::ordered_json head;
  head["rewards"] = rewards;
  const std::string first = data::to_text(head);
  if (!fs::exists(path_)) {
    data::append_line(path_, first);
    return;
  }
  data::drop_cut_line(path_);
  const std::string text = data::read_file(path_);
  if (text.empty()) {
    data::append_line(path_, first);
    return;
  }
  if (text.substr(0, text.find('\n')) != first)
    throw data::BadInput(path_.string() +
                         ": holds the scores of an unfinished run with other rewards or models; "
                         "resume with the same ones, or delete the file to start again");
  for (size_t at = text.find('\n') + 1; at < text.size();) {
    const size_t end = text.find('\n', at);
    const auto json = data::parse_json(std::string_view(text).substr(at, end - at));
    at = end + 1;
    if (!json.is_object() || !json.contains("rows")) continue;
    for (const auto& row : json["rows"])
      if (is_row(row)) rows_[row["file"].get<std::string>()] = row_of(row);
  }
}

const ScoreLog::Row* ScoreLog::find(const std::string& file) const {
  const auto found = rows_.find(file);
  return found == rows_.end() ? nullptr : &found->second;
}

void ScoreLog::add(const std::vector<std::pair<std::string, Row>>& batch) {
  nlohmann::ordered_json line;
  for (const auto& [file, row] : batch) {
    line["rows"].push_back({{"file", file}, {"prompt", row.prompt}, {"raw", row.raw}});
    rows_[file] = row;
  }
  if (!batch.empty()) data::append_line(path_, data::to_text(line));
}

void ScoreLog::remove() {
  std::error_code ignored;
  fs::remove(path_, ignored);
}

}  // namespace tools
