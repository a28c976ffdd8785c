#include "tools/score_rows.hpp"

#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>

#include "data/error.hpp"
#include "data/files.hpp"
#include "data/json.hpp"
#include "data/text.hpp"

namespace tools {

std::vector<ScoreRow> read_scores(const std::filesystem::path& path) {
  std::vector<ScoreRow> rows;
  std::istringstream lines(data::read_file(path));
  int64_t number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    if (data::trimmed(line).empty()) continue;
    const auto json = data::parse_json(line);
    if (!json.is_object() || !json.contains("file") || !json["file"].is_string() ||
        !json.contains("rewards") || !json["rewards"].is_object())
      throw data::BadInput(path.string() + ":" + std::to_string(number) +
                           ": expected a line of laurel score --format jsonl, found other text");
    ScoreRow row{json["file"].get<std::string>(), "", {}};
    if (json.contains("prompt") && json["prompt"].is_string())
      row.prompt = json["prompt"].get<std::string>();
    const auto value = [](const nlohmann::json& number_or_null) {
      return number_or_null.is_number() ? number_or_null.get<double>()
                                        : std::numeric_limits<double>::quiet_NaN();
    };
    for (const auto& [name, reward] : json["rewards"].items()) row.rewards[name] = value(reward);
    if (json.contains("total")) row.rewards["total"] = value(json["total"]);
    rows.push_back(std::move(row));
  }
  if (rows.empty())
    throw data::BadInput(path.string() +
                         ": expected lines of laurel score --format jsonl, found "
                         "none");
  return rows;
}

}  // namespace tools
