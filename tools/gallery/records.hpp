#pragma once

// The small files of a run folder: scores.jsonl, metrics.jsonl, run.json and the text inside a PNG.

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace gallery {

// What is known of one image beside its pixels.
struct Record {
  std::string prompt, split;
  std::string settings;  // "Steps: 20, Sampler: DDIM, ..." without the seed
  std::optional<int64_t> seed;
  std::map<std::string, double> rewards;
};

// The web UIs' `parameters` text: the prompt's lines, "Negative prompt: ..." and a last line of
// "Key: value" pairs that starts with "Steps: ". A key "Reward <name>" with a number is a reward.
Record parse_parameters(const std::string& text);

// File name -> what scores.jsonl says of it:
// {"file":..,"prompt":..,"seed":..,"split":..,"rewards":{..}}, one object a line. A last line that
// was cut off is left out and told in `warnings`; any other broken line throws BadInput with its
// number.
std::map<std::string, Record> read_scores(const std::filesystem::path& path,
                                          std::vector<std::string>& warnings);

// One metric over the steps; a value that was not finite is absent.
struct Series {
  std::string name;
  std::vector<int64_t> steps;
  std::vector<std::optional<double>> values;
};

// Every number of metrics.jsonl by name, in order of first appearance, without step, epoch and
// time. Errors as above.
std::vector<Series> read_metrics(const std::filesystem::path& path,
                                 std::vector<std::string>& warnings);

struct RunInfo {
  std::string json;  // the whole object
  bool synthetic = false;
};
// run.json. Throws BadInput when it is not a JSON object.
RunInfo read_run_info(const std::filesystem::path& path);

}  // namespace gallery
