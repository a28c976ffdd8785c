#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace data {

// A record of a table in the format of RFC 4180: fields between commas; a quoted field may hold
// commas, line breaks and doubled quotes. Blank lines are skipped. The number of fields is not
// checked.
struct CsvLine {
  int64_t number = 0;  // of its first line in the file, from 1
  std::vector<std::string> fields;
};
// Throws BadInput with `source` and the line for a quote that is not closed.
std::vector<CsvLine> parse_csv(std::string_view text, const std::string& source);
// Throws BadInput for a table whose first line is one field with semicolons or tabs in it.
void check_commas(const std::vector<CsvLine>& table, const std::string& source);

}  // namespace data
