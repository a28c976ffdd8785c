#pragma once

#include <filesystem>
#include <set>
#include <string>

namespace tools {

constexpr const char* kEditResults = "results.jsonl";  // in a folder of edits, a line for each

// The outputs that the folder's results tell of; none where there are no results. A line whose
// writer was killed is dropped from the file.
std::set<std::string> recorded_edits(const std::filesystem::path& folder);

}  // namespace tools
