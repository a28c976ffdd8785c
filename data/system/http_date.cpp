#include "data/system/http_date.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <string_view>
#include <vector>

#include "data/base/numbers.hpp"

namespace data {
namespace {

// Words between white space, commas, colons and dashes.
std::vector<std::string> parts_of(const std::string& text) {
  std::vector<std::string> parts(1);
  for (const char c : text) {
    if (std::string_view(" ,:-\t").find(c) == std::string_view::npos)
      parts.back() += c;
    else if (!parts.back().empty())
      parts.emplace_back();
  }
  if (parts.back().empty()) parts.pop_back();
  return parts;
}

int number_or_none(const std::string& text) { return number_of<int>(text).value_or(-1); }

unsigned month_of(const std::string& text) {
  static constexpr std::array<std::string_view, 12> names = {
      "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  return static_cast<unsigned>(std::find(names.begin(), names.end(), text) - names.begin()) + 1;
}

}  // namespace

std::optional<int64_t> parse_http_date(const std::string& text) {
  // Sun 06 Nov 1994 08 49 37 GMT | Sunday 06 Nov 94 08 49 37 GMT | Sun Nov 6 08 49 37 1994
  auto parts = parts_of(text.substr(0, 64));
  if (parts.size() == 7)
    parts = {parts[0], parts[2], parts[1], parts[6], parts[3], parts[4], parts[5], "GMT"};
  if (parts.size() != 8 || parts[7] != "GMT") return std::nullopt;
  int year = number_or_none(parts[3]);
  if (parts[3].size() == 2) year += year < 70 ? 2000 : 1900;
  const int hour = number_or_none(parts[4]), minute = number_or_none(parts[5]),
            second = number_or_none(parts[6]);
  const std::chrono::year_month_day day{
      std::chrono::year(year), std::chrono::month(month_of(parts[2])),
      std::chrono::day(static_cast<unsigned>(std::clamp(number_or_none(parts[1]), 0, 99)))};
  const bool right = day.ok() && year >= 1970 && year < 10000 && hour >= 0 && hour < 24 &&
                     minute >= 0 && minute < 60 && second >= 0 && second <= 60;
  if (!right) return std::nullopt;
  const int64_t days = std::chrono::sys_days(day).time_since_epoch().count();
  return ((days * 24 + hour) * 60 + minute) * 60 + second;
}

}  // namespace data
