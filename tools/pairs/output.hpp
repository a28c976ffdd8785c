#pragma once

// What `laurel pairs` writes.

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "tools/pairs/clean.hpp"

namespace tools {

// A line for each pair that is not dropped, in laurel's form: prompt, a, b, winner, p, weight,
// person where it is one, rule, and with votes strength, deviation and margin of the winner and the
// scores of both. Paths are relative to the file's folder.
void write_choices(const std::filesystem::path& output,
                   const Cleaned& cleaned,
                   const Labels& labels,
                   PictureTable& table);

nlohmann::ordered_json report_json_of(const Cleaned& cleaned, const Labels& labels);
std::string report_text_of(const Cleaned& cleaned, const Labels& labels);
// What to doubt about the labels: labels were exchanged by votes that are not shown to agree with
// the labels more than chance does (95 %). Empty: nothing.
std::string doubt_about(const Cleaned& cleaned);

// A new folder of links to these pictures, with metadata.jsonl where they have prompts. It appears
// when it is complete. Throws BadInput when the folder exists and is not empty, and where only some
// of the pictures have a prompt.
void write_best_folder(const std::filesystem::path& folder,
                       const std::vector<int64_t>& pictures,
                       const std::vector<double>& scores,
                       const PictureTable& table);

}  // namespace tools
