#include "data/base/strings.hpp"

#include <algorithm>

namespace data {

std::string trimmed(std::string_view text) {
  const char* kSpace = " \t\r\n\f\v";
  const size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return "";
  return std::string(text.substr(begin, text.find_last_not_of(kSpace) - begin + 1));
}

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  if (text.empty()) return parts;
  for (size_t end = text.find(separator); end != text.npos; end = text.find(separator)) {
    parts.push_back(trimmed(text.substr(0, end)));
    text.remove_prefix(end + 1);
  }
  parts.push_back(trimmed(text));
  return parts;
}

std::map<std::string, std::string> values_by_key(std::string_view text) {
  constexpr std::string_view kSign = " = ";
  std::map<std::string, std::string> values;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    const size_t sign = line.find(kSign);
    if (sign == line.npos) continue;
    values[std::string(line.substr(0, sign))] = line.substr(sign + kSign.size());
  }
  return values;
}

}  // namespace data
