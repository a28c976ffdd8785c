#include "rewards/judge/judgements.hpp"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>
#include <tuple>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/json.hpp"

namespace fs = std::filesystem;
using data::BadInput;
using nlohmann::json;

namespace rewards {
namespace {

constexpr double kWidth = 1.0 / (kBins - 1);

std::string text_of(const json& line, const char* key, const std::string& where) {
  const auto found = line.find(key);
  if (found == line.end() || !found->is_string())
    throw BadInput(where + ": " + key + ": expected a text, found " +
                   (found == line.end() ? "nothing" : data::to_text(*found)));
  return found->get<std::string>();
}

fs::path image_of(const json& line,
                  const char* key,
                  const fs::path& folder,
                  const std::string& where) {
  const auto found = line.find(key);
  if (found == line.end() || !found->is_object())
    throw BadInput(where + ": " + key + R"(: expected {"path": ..}, found )" +
                   (found == line.end() ? "nothing" : data::to_text(*found)));
  return folder / text_of(*found, "path", where + ": " + key);
}

double number_of(const json& axis, const char* key, const std::string& where) {
  const auto found = axis.find(key);
  if (found == axis.end() || !found->is_number())
    throw BadInput(where + ": " + key + ": expected a number, found " +
                   (found == axis.end() ? "nothing" : data::to_text(*found)));
  return found->get<double>();
}

Bins probabilities(const json& probs, const std::string& where) {
  Bins bins{};
  const bool fits = probs.is_array() && probs.size() == kBins &&
                    std::all_of(probs.begin(), probs.end(), [](const json& p) {
                      return p.is_number() && p.get<double>() >= 0;
                    });
  if (fits)
    std::transform(probs.begin(), probs.end(), bins.begin(),
                   [](const json& p) { return p.get<double>(); });
  const double sum = std::accumulate(bins.begin(), bins.end(), 0.0);
  if (!fits || !(sum > 0) || !std::isfinite(sum))
    throw BadInput(where + ": probs: expected " + std::to_string(kBins) + " probabilities, found " +
                   data::to_text(probs));
  for (double& bin : bins) bin /= sum;
  return bins;
}

// `probs` wins over `std`, and both over the score alone.
Bins bins_of_axis(const json& axis, const std::string& where) {
  if (!axis.is_object())
    throw BadInput(where + ": expected an object, found " + data::to_text(axis));
  Bins bins;
  if (axis.contains("probs")) {
    bins = probabilities(axis["probs"], where);
  } else {
    const double low = number_of(axis, "lo", where), high = number_of(axis, "hi", where),
                 score = number_of(axis, "score", where);
    if (!(low < high && low <= score && score <= high && std::isfinite(high - low)))
      throw BadInput(where + ": score: expected a value in [lo, hi], found " + data::to_text(axis));
    const double mean = (score - low) / (high - low);
    bins = axis.contains("std")
               ? bins_of_gaussian(mean, number_of(axis, "std", where) / (high - low))
               : bins_of_score(mean);
  }
  const json sign = axis.value("sign", json(1));
  if (sign.is_number() && sign < 0) std::reverse(bins.begin(), bins.end());
  return bins;
}

double preference_of(const json& axis, const std::string& where) {
  if (axis.is_object() && axis.contains("p_a")) {
    const double p = number_of(axis, "p_a", where);
    if (p >= 0 && p <= 1) return p;
  }
  const json win = axis.is_object() ? axis.value("win", json()) : json();
  if (win == "a") return 1;
  if (win == "b") return 0;
  if (win == "tie") return 0.5;
  throw BadInput(where + R"(: expected "p_a" in [0, 1] or "win": a, b or tie, found )" +
                 data::to_text(axis));
}

void add_line(Judgements& all, const json& line, const fs::path& folder, const std::string& where) {
  if (line.value("ok", json(true)) == false) {
    ++all.unusable;
    return;
  }
  const std::string kind = text_of(line, "kind", where);
  const json axes = line.value("axes", json());
  if (!axes.is_object()) throw BadInput(where + ": axes: expected an object");
  if (kind == "point") {
    PointJudgement row{text_of(line, "prompt", where), image_of(line, "image", folder, where), {}};
    for (const auto& [name, axis] : axes.items())
      if (!axis.is_null()) row.axes[name] = bins_of_axis(axis, where + ": " + name);
    all.points.push_back(row);
  } else if (kind == "pair") {
    PairJudgement row{text_of(line, "prompt", where),
                      image_of(line, "a", folder, where),
                      image_of(line, "b", folder, where),
                      line.value("order", json("ab")) == "ab",
                      {}};
    for (const auto& [name, axis] : axes.items())
      if (!axis.is_null()) row.axes[name] = preference_of(axis, where + ": " + name);
    all.pairs.push_back(row);
  } else {
    throw BadInput(where + ": kind: expected point or pair, found '" + kind + "'");
  }
}

}  // namespace

Bins bins_of_score(double score) {
  Bins bins{};
  const double place = std::clamp(score, 0.0, 1.0) / kWidth;
  const auto below = std::min(static_cast<size_t>(place), kBins - 2);
  bins[below + 1] = place - static_cast<double>(below);
  bins[below] = 1 - bins[below + 1];
  return bins;
}

Bins bins_of_gaussian(double mean, double deviation) {
  if (deviation < kWidth / 5) return bins_of_score(mean);  // falls between two centres
  const auto below = [&](double x) {
    return 0.5 * std::erfc(-(x - mean) / (deviation * std::sqrt(2.0)));
  };
  Bins bins{};
  for (size_t bin = 0; bin < kBins; ++bin) {
    const double centre = kWidth * static_cast<double>(bin);
    const double low = bin == 0 ? 0 : below(centre - kWidth / 2);
    const double high = bin + 1 == kBins ? 1 : below(centre + kWidth / 2);
    bins[bin] = high - low;
  }
  return bins;
}

double mean_of(const Bins& bins) {
  double mean = 0;
  for (size_t bin = 0; bin < kBins; ++bin) mean += kWidth * static_cast<double>(bin) * bins[bin];
  return mean;
}

Judgements read_judgements(const fs::path& path) {
  Judgements all;
  data::for_each_line(path, [&](const std::string& text, const std::string& where) {
    add_line(all, data::parse_json_object(text, where), path.parent_path(), where);
  });
  return all;
}

void append(Judgements& all, Judgements more) {
  all.points.insert(all.points.end(), more.points.begin(), more.points.end());
  all.pairs.insert(all.pairs.end(), more.pairs.begin(), more.pairs.end());
  all.unusable += more.unusable;
}

MergedPairs merge_orders(const std::vector<PairJudgement>& pairs) {
  struct Orders {
    std::map<std::string, std::vector<double>> first, second;  // by which one stood first
  };
  std::map<std::tuple<std::string, fs::path, fs::path>, Orders> all;
  for (const PairJudgement& pair : pairs) {
    const bool turned = pair.b < pair.a;
    Orders& orders = all[{pair.prompt, turned ? pair.b : pair.a, turned ? pair.a : pair.b}];
    for (const auto& [name, p] : pair.axes)
      (pair.a_first != turned ? orders.first : orders.second)[name].push_back(turned ? 1 - p : p);
  }
  const auto mean = [](const std::vector<double>& values) {
    return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
  };
  MergedPairs merged;
  for (const auto& [key, orders] : all) {
    JudgedPair pair{std::get<0>(key), std::get<1>(key), std::get<2>(key), {}};
    for (const auto* side : {&orders.first, &orders.second}) {
      for (const auto& [name, values] : *side) pair.axes[name] = mean(values);
    }
    for (const auto& [name, values] : orders.first) {
      const auto other = orders.second.find(name);
      if (other == orders.second.end()) continue;
      ++merged.both_orders;
      const double one = mean(values), two = mean(other->second);
      const bool agree = (one - 0.5) * (two - 0.5) >= 0;
      merged.consistent += agree;
      if (agree)
        pair.axes[name] = (one + two) / 2;
      else
        pair.axes.erase(name);
    }
    if (!pair.axes.empty()) merged.pairs.push_back(pair);
  }
  return merged;
}

}  // namespace rewards
