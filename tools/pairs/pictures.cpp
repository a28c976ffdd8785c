#include "tools/pairs/pictures.hpp"

#include <algorithm>
#include <limits>

#include "data/base/error.hpp"
#include "data/base/strings.hpp"
#include "tools/score/rows.hpp"

namespace fs = std::filesystem;
using data::BadInput;

namespace tools {
namespace {

constexpr size_t kMostPictures = 4'000'000;
constexpr size_t kMostValues = size_t{1} << 27;  // 1 GiB
constexpr double kMissing = std::numeric_limits<double>::quiet_NaN();

std::string key_of(const fs::path& file) { return fs::absolute(file).lexically_normal().string(); }

}  // namespace

int64_t PictureTable::add(const fs::path& file,
                          const std::string& prompt,
                          const std::string& source) {
  const int64_t number = prompt_number(prompt);
  const auto [place, fresh] = number_of_file_.try_emplace(key_of(file), size());
  if (fresh) {
    if (files_.size() >= kMostPictures)
      throw BadInput(source + ": expected at most 4,000,000 pictures; split the files");
    files_.push_back(file);
    prompts_.push_back(number);
    return place->second;
  }
  int64_t& known = prompts_[static_cast<size_t>(place->second)];
  if (known < 0) known = number;
  if (number >= 0 && known != number)
    throw BadInput(source + ": " + file.string() + ": expected one prompt of a picture, found '" +
                   prompt_text(number) + "' here and '" + prompt_text(known) +
                   "' elsewhere; correct one of them");
  return place->second;
}

int64_t PictureTable::find(const fs::path& file) const {
  const auto found = number_of_file_.find(key_of(file));
  return found == number_of_file_.end() ? -1 : found->second;
}

void PictureTable::set(int64_t picture, const std::string& column, double value) {
  const auto found = std::find(columns_.begin(), columns_.end(), column);
  const auto k = static_cast<size_t>(found - columns_.begin());
  if (found == columns_.end()) {
    columns_.push_back(column);
    values_.emplace_back();
  }
  if (files_.size() * columns_.size() > kMostValues)
    throw BadInput("pairs: expected at most " + std::to_string(kMostValues) +
                   " scores, found more; score fewer rewards or pictures");
  auto& values = values_[k];
  if (values.size() <= static_cast<size_t>(picture)) values.resize(files_.size(), kMissing);
  values[static_cast<size_t>(picture)] = value;
}

int64_t PictureTable::prompt_number(const std::string& prompt) {
  if (prompt.empty()) return -1;
  const auto [place, fresh] =
      number_of_prompt_.try_emplace(prompt, static_cast<int64_t>(prompt_texts_.size()));
  if (fresh) prompt_texts_.push_back(prompt);
  return place->second;
}

const std::string& PictureTable::prompt_text(int64_t number) const {
  static const std::string none;
  return number < 0 ? none : prompt_texts_[static_cast<size_t>(number)];
}

const std::vector<double>& PictureTable::values(const std::string& column,
                                                const std::string& option) {
  const auto found = std::find(columns_.begin(), columns_.end(), column);
  if (found == columns_.end())
    throw BadInput(option + ": expected a score of the files, found '" + column + "'; they have " +
                   (columns_.empty() ? "none (give --scores)" : data::joined(columns_, ", ")));
  auto& values = values_[static_cast<size_t>(found - columns_.begin())];
  values.resize(files_.size(), kMissing);
  return values;
}

void read_scores_into(PictureTable& table, const fs::path& scores, bool add_new) {
  const fs::path beside = scores.parent_path();
  for_each_score(scores, [&](const ScoreRow& row) {
    std::error_code error;  // of a name that no file can have
    fs::path file = row.file;
    if (!fs::exists(file, error) && fs::exists(beside / file, error)) file = beside / file;
    if (!add_new && table.find(file) < 0) return;
    const int64_t picture = table.add(file, row.prompt, scores.string());
    for (const auto& [reward, value] : row.rewards) table.set(picture, reward, value);
  });
}

void check_pictures_exist(const PictureTable& table, const std::string& source) {
  for (int64_t i = 0; i < table.size(); ++i) {
    std::error_code error;
    if (!fs::is_regular_file(table.file(i), error))
      throw BadInput(source + ": expected a picture, found no file " + table.file(i).string() +
                     "; paths are relative to the file that names them");
  }
}

}  // namespace tools
