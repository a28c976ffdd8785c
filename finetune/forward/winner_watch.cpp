#include "finetune/forward/winner_watch.hpp"

#include <algorithm>
#include <optional>

#include "data/base/format.hpp"
#include "finetune/forward/methods/preference.hpp"

namespace finetune {
namespace {

constexpr double kUnlearnt = 1.01;  // times the start's error

std::optional<double> figure_of(const MetricValues& figures, const std::string& name) {
  const auto found = std::find_if(figures.begin(), figures.end(),
                                  [&](const auto& figure) { return figure.first == name; });
  return found == figures.end() ? std::nullopt : std::optional<double>(found->second);
}

}  // namespace

void watch_winner(WinnerWatch& watch, const MetricValues& figures, const Reporter& reporter) {
  const auto now = figure_of(figures, kErrorPreferred),
             start = figure_of(figures, kErrorPreferredStart);
  if (watch.warned || !now || !start || !(*now > kUnlearnt * *start)) return;
  watch.warned = true;
  reporter.say(data::formatted(
      "warning: the preferred images are unlearnt too: their denoising error is %.4g, %.4g under "
      "the starting model; lower --learning_rate or --beta",
      *now, *start));
}

}  // namespace finetune
