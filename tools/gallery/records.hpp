#pragma once

// Reads the small files of a run folder: scores.jsonl, metrics.jsonl, guard.jsonl, run.json; and
// the text in a PNG.

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace gallery {

// The known facts about an image.
struct Record {
  std::string prompt, split;
  std::string settings;  // "Steps: 20, Sampler: DDIM, ..." without the seed
  std::optional<int64_t> seed;
  std::map<std::string, double> rewards;
};

// Parses the `parameters` text of web UIs: the prompt's lines, "Negative prompt: ..." and a last
// line of "Key: value" pairs that starts with "Steps: ". A key "Reward <name>" with a number is a
// reward.
Record parse_parameters(const std::string& text);

// Records of scores.jsonl by file name. One object per line:
// {"file":..,"prompt":..,"seed":..,"split":..,"rewards":{..}}. An incomplete last line is skipped
// with a warning; any other invalid line throws BadInput with its number.
std::map<std::string, Record> read_scores(const std::filesystem::path& path,
                                          std::vector<std::string>& warnings);

// One metric over the steps; values that are not finite are absent.
struct Series {
  std::string name;
  std::vector<int64_t> steps;
  std::vector<std::optional<double>> values;
};

// Every metric of metrics.jsonl, in order of first appearance, without step, epoch and time. Errors
// as above.
std::vector<Series> read_metrics(const std::filesystem::path& path,
                                 std::vector<std::string>& warnings);

// The guard's verdicts, each line of guard.jsonl as JSON. Errors as above.
std::vector<std::string> read_verdicts(const std::filesystem::path& path,
                                       std::vector<std::string>& warnings);

struct RunInfo {
  std::string json;  // the whole object
  bool synthetic = false;
};
// run.json. Throws BadInput when it is not a JSON object.
RunInfo read_run_info(const std::filesystem::path& path);

}  // namespace gallery
