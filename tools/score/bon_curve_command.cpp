#include "tools/score/bon_curve_command.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "rewards/evaluation/best_of.hpp"
#include "tools/cli/options.hpp"
#include "tools/score/rows.hpp"

using data::BadInput;

namespace tools {
namespace {

double value_of(const ScoreRow& row, const std::string& name, const std::string& where) {
  const auto found = row.rewards.find(name);
  if (found != row.rewards.end()) return found->second;
  std::string all;
  for (const auto& [known, value] : row.rewards) all += (all.empty() ? "" : ", ") + known;
  throw BadInput(where + ": " + row.file + ": expected a score of '" + name + "', found " + all);
}

std::vector<rewards::PromptSamples> samples_of(const std::string& path,
                                               const std::string& proxy,
                                               const std::string& gold) {
  std::map<std::string, rewards::PromptSamples> prompts;
  for (const auto& row : read_scores(path)) {
    const double p = value_of(row, proxy, path), g = value_of(row, gold, path);
    if (!std::isfinite(p) || !std::isfinite(g)) continue;
    prompts[row.prompt].proxy.push_back(p);
    prompts[row.prompt].gold.push_back(g);
  }
  std::vector<rewards::PromptSamples> samples;
  for (auto& [prompt, own] : prompts) samples.push_back(std::move(own));
  if (samples.empty() || std::all_of(samples.begin(), samples.end(),
                                     [](const auto& own) { return own.proxy.size() < 2; }))
    throw BadInput(path +
                   ": expected several images of a prompt, found one of each; sample more, "
                   "as laurel sample --count 16");
  return samples;
}

int bon_curve_command(const std::vector<std::string>& arguments) {
  std::string proxy = "aesthetic", gold = "oracle", output;
  Options options(
      "bon-curve",
      "Best-of-n: the gain of one reward from selecting by another, before any training.",
      "SCORES.jsonl (of laurel score --format jsonl)");
  options.text("proxy", proxy, "the reward to select by; total: the weighted sum");
  options.text("gold", gold, "the reward to evaluate with");
  options.text("output", output, "JSONL of the curve");
  options.short_name("output", 'o');
  const auto parsed = options.parse(arguments);
  if (!parsed.proceed) return 0;
  if (parsed.positional.size() != 1)
    throw BadInput("bon-curve: expected one file of scores, found " +
                   std::to_string(parsed.positional.size()));
  const auto samples = samples_of(parsed.positional[0], proxy, gold);
  const auto curve = rewards::best_of_curve(samples);
  std::cout << samples.size() << " prompts\n     n  KL (nats)  " << proxy << "  " << gold
            << " [95 %]\n";
  std::string lines;
  for (const auto& point : curve) {
    char text[160];
    std::snprintf(text, sizeof text, "%6lld  %9.3f  %10.4f  %10.4f [%.4f, %.4f]",
                  static_cast<long long>(point.n), point.kl, point.proxy, point.gold,
                  point.gold_low, point.gold_high);
    std::cout << text << "\n";
    nlohmann::ordered_json line{{"n", point.n},
                                {"kl", point.kl},
                                {"proxy", point.proxy},
                                {"gold", point.gold},
                                {"gold_interval", {point.gold_low, point.gold_high}}};
    lines += data::to_text(line) + "\n";
  }
  const auto best = std::max_element(curve.begin(), curve.end(),
                                     [](const auto& a, const auto& b) { return a.gold < b.gold; });
  const bool flat = std::all_of(curve.begin(), curve.end(), [&](const auto& point) {
    constexpr double kRounding = 1e-9;
    return std::abs(point.gold - curve.front().gold) <= kRounding * std::abs(curve.front().gold);
  });
  if (flat)
    std::cout << gold << " is the same whatever " << proxy << " chooses: the curve says nothing\n";
  else if (best->n < curve.back().n)
    std::cout << gold << " is best at n = " << best->n << " (" << best->kl
              << " nats): beyond it the choice by " << proxy << " goes too far\n";
  else
    std::cout << gold << " still rises at n = " << best->n << "\n";
  if (!output.empty()) data::write_file(output, lines);
  return 0;
}

}  // namespace

const Command kBonCurve{"bon-curve", "best-of-n against KL and a gold reward", bon_curve_command};

}  // namespace tools
