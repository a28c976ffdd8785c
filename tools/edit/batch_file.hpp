#pragma once

// Reads batch files of edits.

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace tools {

// The settings of one line by laurel's names: "image", "instruction", "output", "id",
// "negative_prompt", "mask", "feedback", "caption", "request", "request_low", and the numbers
// "seed", "steps", "cfg_text", "cfg_image", "request_scale", "strength". Names of other tools are
// recognised; other keys are ignored.
struct EditLine {
  std::map<std::string, std::string> settings;
  std::string where;  // "jobs.jsonl:12"
  std::string fault;  // why the line is not an edit; "" for a valid one
};

// .jsonl: one object per line; .csv: a table with a header. Throws BadInput when the file cannot be
// read or has no line.
std::vector<EditLine> read_edit_lines(const std::filesystem::path& file);

}  // namespace tools
