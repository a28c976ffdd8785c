#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace data {

// A table as RFC 4180 has it: fields between commas, quoted ones with commas, line breaks and
// doubled quotes inside; lines that are blank are passed over. Every line has as many fields as the
// first, or it says how many it has.
struct CsvLine {
  int64_t number = 0;  // of its first line in the file, from 1
  std::vector<std::string> fields;
};
// Throws BadInput naming `source` and the line for a quote that does not end.
std::vector<CsvLine> parse_csv(std::string_view text, const std::string& source);

}  // namespace data
