#pragma once

// The pictures that labels name, with their prompts and scores.

#include <cstdint>
#include <filesystem>
#include <string>
#include <unordered_map>
#include <vector>

namespace tools {

// A row for each picture, a column for each score. Bounded: 4,000,000 pictures, 2^27 values.
class PictureTable {
 public:
  // The number of the picture, which is added where it is new. prompt: "" where none is known.
  // source: the file that names it, for messages. Throws BadInput when another source gave another
  // prompt, and beyond the bound.
  int64_t add(const std::filesystem::path& file,
              const std::string& prompt,
              const std::string& source);
  // -1: unknown
  int64_t find(const std::filesystem::path& file) const;
  void set(int64_t picture, const std::string& column, double value);  // NaN: missing

  // The number of a prompt; -1 for "".
  int64_t prompt_number(const std::string& prompt);
  const std::string& prompt_text(int64_t number) const;  // "" for -1

  int64_t size() const { return static_cast<int64_t>(files_.size()); }
  const std::filesystem::path& file(int64_t picture) const {  // as it was named first
    return files_[static_cast<size_t>(picture)];
  }
  const std::vector<int64_t>& prompts() const { return prompts_; }  // of each picture
  const std::vector<std::string>& columns() const { return columns_; }
  // A value for each picture, NaN where it is missing. Throws BadInput with the known names;
  // option: the one that names it.
  const std::vector<double>& values(const std::string& column, const std::string& option);

 private:
  std::vector<std::filesystem::path> files_;
  std::vector<int64_t> prompts_;
  std::unordered_map<std::string, int64_t> number_of_file_, number_of_prompt_;
  std::vector<std::string> prompt_texts_;
  std::vector<std::string> columns_;
  std::vector<std::vector<double>> values_;  // a vector for each column, filled as far as needed
};

// Reads `laurel score --format jsonl` line by line into the table: each reward is a column. Rows of
// pictures that the table lacks are added where `add_new`, else passed over. A path is relative to
// the working folder or, where there is no such file, to that of the scores. Throws BadInput naming
// the first line of another form, and where two rows of a picture have different prompts.
void read_scores_into(PictureTable& table, const std::filesystem::path& scores, bool add_new);

// Throws BadInput naming the first picture that is no file. source: what names them
void check_pictures_exist(const PictureTable& table, const std::string& source);

}  // namespace tools
