#pragma once

// The scores so far, kept beside the output of `laurel score` so that a killed run can be resumed.

#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace tools {

// One line a batch of images, {"rows": [{"file", "prompt", "raw": [...]}, ...]}, after a first line
// that identifies the rewards and their weights. Whole batches, because the last digits of a score
// depend on the size of its batch: a resumed run makes the same batches as an uninterrupted one.
class ScoreLog {
 public:
  struct Row {
    std::string prompt;
    std::vector<double> raw;  // NaN: the reward could not score it
  };

  // Reads an existing file and drops a last line that was cut off. Throws BadInput when the file
  // belongs to other rewards.
  ScoreLog(std::filesystem::path path, const std::string& rewards);

  const Row* find(const std::string& file) const;                   // null: not scored yet
  void add(const std::vector<std::pair<std::string, Row>>& batch);  // files and their rows
  size_t size() const { return rows_.size(); }
  void remove();  // the run is done

 private:
  std::filesystem::path path_;
  std::map<std::string, Row> rows_;
};

}  // namespace tools
