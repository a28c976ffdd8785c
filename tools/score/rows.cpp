#include "tools/score/rows.hpp"

#include <limits>
#include <nlohmann/json.hpp>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/json.hpp"

namespace tools {

namespace {

double value_or_nan(const nlohmann::json& value) {
  return value.is_number() ? value.get<double>() : std::numeric_limits<double>::quiet_NaN();
}

ScoreRow row_of(const std::string& line, const std::string& where) {
  const auto json = data::parse_json(line);
  if (!json.is_object() || !json.contains("file") || !json["file"].is_string() ||
      !json.contains("rewards") || !json["rewards"].is_object())
    throw data::BadInput(where +
                         ": expected a line of laurel score --format jsonl, found other text");
  ScoreRow row{json["file"].get<std::string>(), "", {}};
  if (json.contains("prompt") && json["prompt"].is_string())
    row.prompt = json["prompt"].get<std::string>();
  for (const auto& [name, reward] : json["rewards"].items())
    row.rewards[name] = value_or_nan(reward);
  if (json.contains("total")) row.rewards["total"] = value_or_nan(json["total"]);
  return row;
}

}  // namespace

void for_each_score(const std::filesystem::path& path,
                    const std::function<void(const ScoreRow& row)>& take) {
  bool any = false;
  data::for_each_line(path, [&](const std::string& line, const std::string& where) {
    take(row_of(line, where));
    any = true;
  });
  if (!any)
    throw data::BadInput(path.string() +
                         ": expected lines of laurel score --format jsonl, found "
                         "none");
}

std::vector<ScoreRow> read_scores(const std::filesystem::path& path) {
  std::vector<ScoreRow> rows;
  for_each_score(path, [&](const ScoreRow& row) { rows.push_back(row); });
  return rows;
}

}  // namespace tools
