#include "tools/score/bon_curve_command.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/format.hpp"
#include "data/base/json.hpp"
#include "rewards/combine/prompt_groups.hpp"
#include "rewards/evaluation/herding.hpp"
#include "tools/cli/options.hpp"
#include "tools/score/curve_chart.hpp"
#include "tools/score/proxies.hpp"
#include "tools/score/rows.hpp"

using data::BadInput;

namespace tools {
namespace {

struct BonCurveCommand {
  std::string proxy = "aesthetic", gold = "oracle", members, output, chart;
  double k = 0.5, nominal = 0.5, temperature = 1, top = 0.01;
};

void declare(Options& options, BonCurveCommand& config) {
  options.text("proxy", config.proxy,
               "rewards to select by (total: the weighted sum), and aggregates of members: "
               "mean,min,uncertainty,aesthetic.1");
  options.text("gold", config.gold, "the reward to evaluate with");
  options.text("members", config.members,
               "whose members NAME.1, NAME.2, .. are meant, where the file has several");
  options.number("aggregate_k", config.k, "of mean_std and uncertainty", 0, 1e300);
  options.number("robust_nominal", config.nominal, "of robust: weight of the nominal member", 0, 1);
  options.rare().number("soft_min_temperature", config.temperature, "of soft_min", 1e-6, 1e300);
  options.rare().number("top", config.top, "share of a member's highest images, for herding", 1e-6,
                        1);
  options.text("output", config.output, "JSONL of the curves");
  options.short_name("output", 'o');
  options.text("chart", config.chart, "SVG of the curves: gold against KL");
}

// The columns of the file but the gold one, without their values.
ScoredImages columns_in(const std::vector<ScoreRow>& rows,
                        const std::string& path,
                        const BonCurveCommand& config) {
  ScoredImages images;
  for (const auto& [name, value] : rows[0].rewards) {
    if (name != config.gold) images.names.push_back(name);
  }
  if (rows[0].rewards.count(config.gold) == 0)
    throw BadInput(path + ": " + rows[0].file + ": expected a score of '" + config.gold + "'");
  images.members = member_columns(images.names, config.members);
  return images;
}

// The scores of one row in the order of the columns; a missing one is NaN.
std::vector<double> values_of(const ScoreRow& row, const std::vector<std::string>& names) {
  std::vector<double> values;
  for (const auto& name : names) {
    const auto found = row.rewards.find(name);
    values.push_back(found == row.rewards.end() ? std::nan("") : found->second);
  }
  return values;
}

std::vector<bool> used_columns(const std::vector<Proxy>& proxies, const ScoredImages& images) {
  std::vector<bool> used(images.names.size());
  for (const auto& proxy : proxies) {
    if (proxy.column >= 0) used[static_cast<size_t>(proxy.column)] = true;
    for (const int64_t member : images.members)
      used[static_cast<size_t>(member)] = used[static_cast<size_t>(member)] || proxy.aggregate;
  }
  return used;
}

// Fills in the rows that have a gold score and every score that is used.
void fill(const std::vector<ScoreRow>& rows,
          const std::string& gold_name,
          const std::vector<bool>& used,
          ScoredImages& images) {
  std::vector<double> gold, columns;
  std::vector<std::string> prompts;
  for (const auto& row : rows) {
    const auto values = values_of(row, images.names);
    const double own = values_of(row, {gold_name})[0];
    bool whole = std::isfinite(own);
    for (size_t c = 0; c < values.size(); ++c)
      whole = whole && (!used[c] || std::isfinite(values[c]));
    if (!whole) continue;
    gold.push_back(own);
    columns.insert(columns.end(), values.begin(), values.end());
    prompts.push_back(row.prompt);
  }
  images.gold = at::tensor(gold, at::kDouble);
  images.columns =
      at::tensor(columns, at::kDouble)
          .view({static_cast<int64_t>(gold.size()), static_cast<int64_t>(images.names.size())});
  images.prompts = rewards::ids_of_texts(prompts);
}

void check_groups(const ScoredImages& images, const std::string& path) {
  const auto groups = rewards::rows_of_groups(images.prompts);
  if (std::all_of(groups.begin(), groups.end(), [](const auto& own) { return own.size() < 2; }))
    throw BadInput(path +
                   ": expected several images of a prompt, found one of each; sample more, "
                   "as laurel sample --count 16");
}

// single: the proxy is one reward, in its own unit, which --caps can hold.
void print_curve(const NamedCurve& curve, const std::string& gold, bool single) {
  std::cout << "     n  KL (nats)  " << curve.name << "  " << gold << " [95 %]\n";
  for (const auto& point : curve.points)
    std::cout << data::formatted("%6lld  %9.3f  %10.4f  %10.4f [%.4f, %.4f]\n",
                                 static_cast<long long>(point.n), point.kl, point.proxy, point.gold,
                                 point.gold_low, point.gold_high);
  const auto best = std::max_element(curve.points.begin(), curve.points.end(),
                                     [](const auto& a, const auto& b) { return a.gold < b.gold; });
  const double first = curve.points.front().gold;
  const bool flat = std::all_of(curve.points.begin(), curve.points.end(), [&](const auto& point) {
    constexpr double kRounding = 1e-9;
    return std::abs(point.gold - first) <= kRounding * std::abs(first);
  });
  if (flat)
    std::cout << gold << " is the same whatever " << curve.name
              << " chooses: the curve says nothing\n";
  else if (best->n < curve.points.back().n)
    std::cout << gold << " is best at n = " << best->n << " (" << best->kl
              << " nats): beyond it the choice by " << curve.name << " goes too far\n"
              << (single ? data::formatted("the proxy point: --caps %s=..%.4g\n",
                                           curve.name.c_str(), best->proxy)
                         : "");
  else
    std::cout << gold << " still rises at n = " << best->n << "\n";
}

std::string lines_of(const NamedCurve& curve) {
  std::string lines;
  for (const auto& point : curve.points) {
    const nlohmann::ordered_json line{
        {"by", curve.name},   {"n", point.n},
        {"kl", point.kl},     {"proxy", point.proxy},
        {"gold", point.gold}, {"gold_interval", {point.gold_low, point.gold_high}}};
    lines += data::to_text(line) + "\n";
  }
  return lines;
}

// Do the members part where one of them is most pleased? -> a line of the output file
std::string print_herding(const ScoredImages& images, double top) {
  constexpr int64_t kFewest = 20;
  if (images.members.size() < 2 || images.gold.size(0) < kFewest) return "";
  const auto found = rewards::herding(standardised_members(images), top);
  std::cout << data::formatted(
      "herding: rank correlation of the members %.3f on all images; on the %lld that one rates "
      "highest:\n",
      found.correlation, static_cast<long long>(found.top));
  nlohmann::ordered_json members = nlohmann::ordered_json::array();
  for (size_t m = 0; m < found.of.size(); ++m) {
    const auto& one = found.of[m];
    const auto& name = images.names[static_cast<size_t>(images.members[m])];
    std::cout << data::formatted("  %-20s %6.3f, it gives %+.2f deviations, the others %+.2f\n",
                                 name.c_str(), one.correlation, one.own, one.others);
    members.push_back({{"member", name},
                       {"correlation", one.correlation},
                       {"own", one.own},
                       {"others", one.others}});
  }
  const nlohmann::ordered_json line{
      {"herding", found.correlation}, {"top_images", found.top}, {"members", members}};
  return data::to_text(line) + "\n";
}

int bon_curve_command(const std::vector<std::string>& arguments) {
  BonCurveCommand config;
  Options options(
      "bon-curve",
      "Best-of-n: the gain of one reward from selecting by others or by an ensemble, before any "
      "training.",
      "SCORES.jsonl (of laurel score --format jsonl)");
  declare(options, config);
  const auto parsed = options.parse(arguments);
  if (!parsed.proceed) return 0;
  if (parsed.positional.size() != 1)
    throw BadInput("bon-curve: expected one file of scores, found " +
                   std::to_string(parsed.positional.size()));
  const std::string& path = parsed.positional[0];
  const auto rows = read_scores(path);
  ScoredImages images = columns_in(rows, path, config);
  const auto proxies = parse_proxies(config.proxy, images);
  fill(rows, config.gold, used_columns(proxies, images), images);
  check_groups(images, path);
  std::cout << rewards::rows_of_groups(images.prompts).size() << " prompts\n";
  std::vector<NamedCurve> curves;
  std::string lines;
  bool ensembles = false;
  for (const auto& proxy : proxies) {
    curves.push_back(
        {proxy.name,
         curve_of(proxy, images,
                  {.temperature = config.temperature, .k = config.k, .nominal = config.nominal})});
    print_curve(curves.back(), config.gold, !proxy.aggregate);
    lines += lines_of(curves.back());
    ensembles = ensembles || proxy.aggregate;
  }
  if (ensembles) lines += print_herding(images, config.top);
  if (!config.output.empty()) data::write_file(config.output, lines);
  if (!config.chart.empty()) data::write_file(config.chart, curve_chart(curves, config.gold));
  return 0;
}

}  // namespace

const Command kBonCurve{"bon-curve", "best-of-n against KL and a gold reward", bon_curve_command};

}  // namespace tools
