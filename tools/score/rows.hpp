#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace tools {

// A line of `laurel score --format jsonl`.
struct ScoreRow {
  std::string file, prompt;
  std::map<std::string, double> rewards;  // raw; NaN where null; "total" too
};

// Throw BadInput naming the first line of another form, and for a file of none.
void for_each_score(const std::filesystem::path& path,
                    const std::function<void(const ScoreRow& row)>& take);
std::vector<ScoreRow> read_scores(const std::filesystem::path& path);

}  // namespace tools
