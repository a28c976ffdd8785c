#pragma once

// Files of edits.

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace tools {

// The settings of one line, by laurel's name for them: "image", "instruction", "output", "id",
// "negative_prompt", "mask", "feedback", "caption", "request", "request_low", and the numbers
// "seed", "steps", "cfg_text", "cfg_image", "request_scale", "strength". Aliases of other tools are
// known; other keys are passed over.
struct EditLine {
  std::map<std::string, std::string> settings;
  std::string where;  // "jobs.jsonl:12"
  std::string fault;  // why it is no edit; "": it is one
};

// .jsonl: an object a line; .csv: a table with a line of names. Throws BadInput when the file
// cannot be read or holds no line.
std::vector<EditLine> read_edit_lines(const std::filesystem::path& file);

}  // namespace tools
