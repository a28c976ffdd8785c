#pragma once

// A judge of edits, outside this process: a vision-language server, or a program.

#include <cstdint>
#include <functional>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace rewards {

struct EditQuestion {
  std::string source_png, edited_png;  // files' bytes
  std::string instruction;
};
struct EditVerdict {
  std::map<std::string, double> scores;  // 0 to 5 by axis
  std::vector<std::string> feedback;     // a sentence an axis, "None": nothing is wrong
  std::string problem;                   // why there is none; empty: there is one
};
using EditJudge = std::function<EditVerdict(const EditQuestion& question)>;

// An axis and what the judge is asked about it. `sees_source`: the source image and the
// instruction too, not the edited image alone.
struct EditAxis {
  std::string name, question;
  bool sees_source = true;
};
// The three usual ones by their names, or "name=question". Throws BadInput for anything else.
EditAxis edit_axis(const std::string& text);

// The body of POST /v1/chat/completions for one axis, and what a reply says: {"score": 0-5, "flaw":
// "..."}, or a number in words (also a whole one). Never throws.
nlohmann::ordered_json edit_judge_request(const EditQuestion& question,
                                          const EditAxis& axis,
                                          const std::string& model);
struct AxisVerdict {
  double score = 0;
  std::string flaw = "None", problem{};
};
AxisVerdict edit_judge_reply(const std::string& body);

struct EditJudgeOptions {
  std::vector<EditAxis> axes;
  std::string model;  // "": the server's first
  double seconds = 120;
  int64_t retries = 5;    // after 429, 5xx or no answer
  double first_wait = 1;  // seconds before the first; doubles up to a minute
  bool allow_remote = false;
};
// "http://HOST/v1": one question an axis. "program:COMMAND": a line of JSON an edit on its standard
// input, {"id", "instruction", "source_png", "edited_png"} (base64), a line for it on its output,
// {"id", "scores": {axis: 0-5}, "feedback": ["..", ..]}. Throws BadInput for another address, and
// for another machine without allow_remote.
EditJudge make_edit_judge(const std::string& address, const EditJudgeOptions& options);

}  // namespace rewards
