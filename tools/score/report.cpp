#include "tools/score/report.hpp"

#include <algorithm>
#include <cmath>
#include <iomanip>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>

#include "data/base/error.hpp"
#include "data/base/json.hpp"
#include "data/base/strings.hpp"
#include "data/images/generation_parameters.hpp"

namespace tools {
namespace {

std::string number_text(double value) {
  if (!std::isfinite(value)) return "-";  // missing
  std::ostringstream text;
  text << std::fixed << std::setprecision(4) << value;
  return text.str();
}

struct Column {
  std::string title, unit;
  std::vector<double> values;
};

std::vector<Column> columns_of(const ScoreReport& report) {
  std::vector<Column> columns;
  for (size_t m = 0; m < report.rewards.size(); ++m) {
    Column column{report.rewards[m].name, "(" + report.rewards[m].unit + ")", {}};
    for (const auto& image : report.images) column.values.push_back(image.raw[m]);
    columns.push_back(column);
  }
  if (columns.size() < 2) return columns;
  Column total{"total", "(weighted)", {}};
  for (const auto& image : report.images) total.values.push_back(image.total);
  columns.push_back(total);
  return columns;
}

std::vector<double> finite(const std::vector<double>& values) {
  std::vector<double> kept;
  for (const double value : values) {
    if (std::isfinite(value)) kept.push_back(value);
  }
  return kept;
}

double mean_of(const std::vector<double>& values) {
  double sum = 0;
  const auto kept = finite(values);
  for (const double value : kept) sum += value;
  return sum / static_cast<double>(kept.size());
}

double deviation_of(const std::vector<double>& values) {
  const double mean = mean_of(values);
  double sum = 0;
  const auto kept = finite(values);
  for (const double value : kept) sum += (value - mean) * (value - mean);
  return kept.size() < 2 ? 0 : std::sqrt(sum / static_cast<double>(kept.size() - 1));
}

// Width on a terminal: characters, not bytes.
size_t columns_wide(const std::string& text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

std::string padded(const std::string& text, size_t width, bool right) {
  const std::string space(width - std::min(width, columns_wide(text)), ' ');
  return right ? space + text : text + space;
}

using TableRow = std::vector<std::string>;

std::string aligned(const std::vector<TableRow>& rows) {
  std::vector<size_t> widths(rows[0].size(), 0);
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], columns_wide(row[i]));
  }
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i)
      line += (i ? "  " : "") + padded(row[i], widths[i], i > 0);
    text += line + "\n";
  }
  return text;
}

std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? "\"\"" : std::string(1, c);
  return quoted + "\"";
}

// Without the entry "<title>: ..." of a comma-separated line.
std::string without_entry(const std::string& settings, const std::string& title) {
  std::stringstream entries(settings);
  std::string kept;
  for (std::string entry; std::getline(entries, entry, ',');) {
    if (data::trimmed(entry).starts_with(title + ": ")) continue;
    kept += (kept.empty() ? "" : ",") + entry;
  }
  return data::trimmed(kept);
}

}  // namespace

void sort_by(ScoreReport& report, const std::string& key) {
  auto& images = report.images;
  if (key == "file") {
    std::stable_sort(images.begin(), images.end(),
                     [](auto& a, auto& b) { return a.file < b.file; });
    return;
  }
  std::vector<std::string> keys{"file", "total"};
  for (const auto& info : report.rewards) keys.push_back(info.name);
  const auto found = std::find(keys.begin() + 1, keys.end(), key);
  if (found == keys.end()) {
    const std::string near = data::nearest(key, keys);
    throw data::BadInput("--sort: expected file, total or a reward that is scored, found '" + key +
                         "'" + (near.empty() ? "" : "; did you mean " + near + "?"));
  }
  const auto index = static_cast<size_t>(found - keys.begin());
  const auto value = [&](const ScoredImage& image) {
    const double own = index == 1 ? image.total : image.raw[index - 2];
    return std::isfinite(own) ? own : -std::numeric_limits<double>::infinity();
  };
  std::stable_sort(images.begin(), images.end(),
                   [&](auto& a, auto& b) { return value(a) > value(b); });
}

std::string table_text(const ScoreReport& report) {
  if (report.images.empty()) return "";
  const auto columns = columns_of(report);
  std::vector<TableRow> rows{{"file"}, {""}};
  for (const auto& column : columns) {
    rows[0].push_back(column.title);
    rows[1].push_back(column.unit);
  }
  for (size_t i = 0; i < report.images.size(); ++i) {
    rows.push_back({report.images[i].file});
    for (const auto& column : columns) rows.back().push_back(number_text(column.values[i]));
  }
  rows.push_back({"mean of " + std::to_string(report.images.size())});
  for (const auto& column : columns) rows.back().push_back(number_text(mean_of(column.values)));
  rows.push_back({"standard deviation"});
  for (const auto& column : columns)
    rows.back().push_back(number_text(deviation_of(column.values)));
  return aligned(rows);
}

std::string jsonl_text(const ScoreReport& report) {
  std::string text;
  for (const auto& image : report.images) {
    nlohmann::ordered_json line{{"file", image.file}, {"prompt", image.prompt}};
    for (size_t m = 0; m < report.rewards.size(); ++m)
      line["rewards"][report.rewards[m].name] = image.raw[m];
    for (size_t m = 0; m < report.rewards.size(); ++m)
      line["normalised"][report.rewards[m].name] = image.normalised[m];
    line["total"] = image.total;
    text += data::to_text(line) + "\n";
  }
  return text;
}

std::string csv_text(const ScoreReport& report) {
  std::string text = "file,prompt";
  for (const auto& info : report.rewards) text += "," + info.name;
  for (const auto& info : report.rewards) text += "," + info.name + "_normalised";
  text += ",total\r\n";
  for (const auto& image : report.images) {
    text += csv_field(image.file) + "," + csv_field(image.prompt);
    for (const double value : image.raw) text += "," + number_text(value);
    for (const double value : image.normalised) text += "," + number_text(value);
    text += "," + number_text(image.total) + "\r\n";
  }
  return text;
}

std::string parameter_title(const std::string& reward) {
  std::string title = reward;
  if (title.ends_with("_score")) title.resize(title.size() - 6);
  std::replace(title.begin(), title.end(), '_', ' ');
  bool first = true;
  for (char& c : title) {
    if (first && c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    first = c == ' ';
  }
  return title + " Score";
}

std::string with_scores(const std::string& parameters,
                        const ScoreReport& report,
                        const ScoredImage& image) {
  const auto parts = data::split_parameters(parameters);
  std::string before = parts.before, settings = parts.settings;
  if (settings.empty() && !before.empty()) before += "\n";
  for (size_t m = 0; m < report.rewards.size(); ++m) {
    const std::string title = parameter_title(report.rewards[m].name);
    settings = without_entry(settings, title);
    settings += (settings.empty() ? "" : ", ") + title + ": " + number_text(image.raw[m]);
  }
  return before + settings + parts.after;
}

}  // namespace tools
