// How caps, constraints and statistics are written down.

#include <ATen/ATen.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>

#include "data/base/error.hpp"
#include "data/base/json.hpp"
#include "data/base/sha256.hpp"
#include "rewards/combine/aggregate.hpp"

namespace data {
namespace {

constexpr double kOpen = std::numeric_limits<double>::infinity();

double parse_number(const std::string& text, const std::string& where) {
  double value = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end || !std::isfinite(value))
    throw BadInput(where + ": expected a number, found '" + text + "'");
  return value;
}

int64_t column_of(const std::string& name,
                  const std::vector<std::string>& names,
                  const std::string& where) {
  const auto found = std::find(names.begin(), names.end(), name);
  if (found != names.end()) return found - names.begin();
  std::string all;
  for (const auto& known : names) all += (all.empty() ? "" : ", ") + known;
  throw BadInput(where + ": expected one of the rewards in use (" + all + "), found '" + name +
                 "'");
}

// "a, b" -> {"a", "b"}
std::vector<std::string> pieces(const std::string& text) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, ',');) {
    part.erase(std::remove(part.begin(), part.end(), ' '), part.end());
    if (!part.empty()) parts.push_back(part);
  }
  return parts;
}

std::string digest_of(const std::vector<std::string>& names, const at::Tensor& x) {
  const at::Tensor rows = x.to(at::kDouble).contiguous();
  std::string bytes;
  for (const auto& name : names) bytes += name + "\n";
  bytes.append(static_cast<const char*>(rows.const_data_ptr()), rows.nbytes());
  return sha256(bytes);
}

std::vector<double> numbers(const at::Tensor& x) {
  return {x.const_data_ptr<double>(), x.const_data_ptr<double>() + x.numel()};
}

}  // namespace

std::vector<Cap> parse_caps(const std::string& text, const std::vector<std::string>& names) {
  std::vector<Cap> caps(names.size(), Cap{-kOpen, kOpen});
  for (const auto& part : pieces(text)) {
    const std::string where = "caps: '" + part + "'";
    const size_t sign = part.find('='),
                 dots = part.find("..", sign == std::string::npos ? 0 : sign);
    if (sign == std::string::npos || dots == std::string::npos)
      throw BadInput(where + ": expected NAME=LOW..HIGH, either end open, as imagereward=..2");
    Cap& cap = caps[static_cast<size_t>(column_of(part.substr(0, sign), names, where))];
    const std::string low = part.substr(sign + 1, dots - sign - 1), high = part.substr(dots + 2);
    if (!low.empty()) cap.low = parse_number(low, where);
    if (!high.empty()) cap.high = parse_number(high, where);
    if (!(cap.low < cap.high)) throw BadInput(where + ": expected LOW below HIGH");
  }
  return caps;
}

std::vector<Constraint> parse_constraints(const std::string& text,
                                          const std::vector<std::string>& names) {
  std::vector<Constraint> constraints;
  for (const auto& part : pieces(text)) {
    const std::string where = "constraints: '" + part + "'";
    const size_t sign = std::min(part.find(">="), part.find("<="));
    if (sign == std::string::npos)
      throw BadInput(where + ": expected NAME>=VALUE or NAME<=VALUE, as clip_score>=25");
    constraints.push_back({.column = column_of(part.substr(0, sign), names, where),
                           .sign = part[sign] == '>' ? 1.0 : -1.0,
                           .threshold = parse_number(part.substr(sign + 2), where)});
  }
  return constraints;
}

RewardStatistics measure_statistics(const std::vector<std::string>& names, const at::Tensor& x) {
  RewardStatistics statistics{.names = names, .moments = {}, .digest = digest_of(names, x)};
  update(statistics.moments, x);
  if (statistics.moments.count < 2)
    throw BadInput("statistics: expected at least two images with finite rewards, found " +
                   std::to_string(static_cast<int64_t>(statistics.moments.count)));
  return statistics;
}

std::string statistics_text(const RewardStatistics& statistics) {
  nlohmann::ordered_json file;
  const RunningMoments& moments = statistics.moments;
  file["format"] = "laurel reward statistics";
  file["version"] = 1;
  file["images"] = static_cast<int64_t>(moments.count);
  file["digest"] = statistics.digest;
  const auto mean = numbers(moments.mean), std = numbers((moments.squares / moments.count).sqrt());
  for (size_t m = 0; m < statistics.names.size(); ++m)
    file["rewards"][statistics.names[m]] = {{"mean", mean[m]}, {"std", std[m]}};
  return to_text(file, 2) + "\n";
}

RewardStatistics read_statistics(const std::filesystem::path& path,
                                 const std::vector<std::string>& names) {
  const std::string where = path.string();
  const nlohmann::json file = read_json_object(path);
  const auto images = file.value("images", nlohmann::json()),
             known = file.value("rewards", nlohmann::json());
  if (!images.is_number_integer() || images.get<int64_t>() < 2 || !known.is_object())
    throw BadInput(where +
                   ": expected a file of `laurel score --save-statistics`, found other JSON");
  RewardStatistics statistics{.names = names, .moments = {}, .digest = ""};
  if (file.contains("digest") && file["digest"].is_string())
    statistics.digest = file["digest"].get<std::string>();
  std::vector<double> mean, squares;
  const double count = images.get<double>();
  for (const auto& name : names) {
    const auto entry = known.value(name, nlohmann::json());
    if (!entry.is_object() || !entry.value("mean", nlohmann::json()).is_number() ||
        !entry.value("std", nlohmann::json()).is_number())
      throw BadInput(where + ": rewards: expected mean and std of " + name +
                     ", found none; measure it: laurel score -r " + name +
                     " --save-statistics FILE");
    mean.push_back(entry["mean"].get<double>());
    const double std = entry["std"].get<double>();
    squares.push_back(std * std * count);
  }
  statistics.moments = {count, at::tensor(mean, at::kDouble), at::tensor(squares, at::kDouble)};
  return statistics;
}

}  // namespace data
