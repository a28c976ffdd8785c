#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace tools {

// A line of `laurel score --format jsonl`.
struct ScoreRow {
  std::string file, prompt;
  std::map<std::string, double> rewards;  // raw; NaN where null; "total" too
};

// Throws BadInput naming the first line of another form.
std::vector<ScoreRow> read_scores(const std::filesystem::path& path);

}  // namespace tools
