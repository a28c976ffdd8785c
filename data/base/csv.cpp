#include "data/base/csv.hpp"

#include <cstdint>

#include "data/base/error.hpp"

namespace data {
namespace {

// Reads the field at `at` and moves `at` to the comma or line end behind it.
std::string take_field(std::string_view text,
                       size_t& at,
                       int64_t& line,
                       const std::string& source) {
  std::string field;
  if (at >= text.size() || text[at] != '"') {
    while (at < text.size() && text[at] != ',' && text[at] != '\n') field += text[at++];
    if (!field.empty() && field.back() == '\r') field.pop_back();
    return field;
  }
  const int64_t began = line;
  for (++at; at < text.size(); ++at) {
    if (text[at] == '\n') ++line;
    if (text[at] != '"') {
      field += text[at];
    } else if (at + 1 < text.size() && text[at + 1] == '"') {
      field += text[at++];
    } else {
      ++at;
      while (at < text.size() && text[at] != ',' && text[at] != '\n') ++at;
      return field;
    }
  }
  throw BadInput(source + ":" + std::to_string(began) + ": a quote is not closed; add one");
}

}  // namespace

std::vector<CsvLine> parse_csv(std::string_view text, const std::string& source) {
  std::vector<CsvLine> lines;
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  int64_t number = 1;
  for (size_t at = 0; at < text.size(); ++number) {
    CsvLine line{number, {}};
    line.fields.push_back(take_field(text, at, number, source));
    while (at < text.size() && text[at] == ',') {
      ++at;
      line.fields.push_back(take_field(text, at, number, source));
    }
    ++at;  // the line's end
    if (line.fields.size() > 1 || !line.fields[0].empty()) lines.push_back(line);
  }
  return lines;
}

void check_commas(const std::vector<CsvLine>& table, const std::string& source) {
  if (table.empty() || table[0].fields.size() > 1) return;
  for (const auto& [sign, name] : {std::pair{';', "semicolons"}, std::pair{'\t', "tabs"}}) {
    if (table[0].fields[0].find(sign) != std::string::npos)
      throw BadInput(source + ":" + std::to_string(table[0].number) +
                     ": expected commas between the fields, found " + name +
                     "; save the table with commas");
  }
}

}  // namespace data
