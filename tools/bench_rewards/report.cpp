#include "tools/bench_rewards/report.hpp"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "data/base/format.hpp"

using nlohmann::ordered_json;

namespace tools {
namespace {

constexpr size_t kWorstInJson = 20;

std::string percent_text(const rewards::Interval& value) {
  return data::formatted("%5.1f [%5.1f, %5.1f]", 100 * value.value, 100 * value.low,
                         100 * value.high);
}

std::string slice_text(const std::string& name, const rewards::OneToMany& figures) {
  return data::formatted("  %-19s  %5lld  %5lld  ", name.c_str(),
                         static_cast<long long>(figures.items),
                         static_cast<long long>(figures.ties)) +
         percent_text(figures.one_to_one) + "  " + percent_text(figures.one_to_many) + "  " +
         percent_text(figures.reciprocal_rank) + "\n";
}

std::string probes_text(const std::string& title,
                        const std::vector<rewards::RobustnessProbe>& probes) {
  if (probes.empty()) return "";
  std::string text = "  " + title + "\n";
  for (const auto& probe : probes)
    text += data::formatted("    %-26s  %+7.2f deviations, higher for %5.1f %%\n",
                            probe.name.c_str(), probe.change, 100 * probe.above);
  return text;
}

ordered_json figure_json(const rewards::Interval& value) {
  return {{"value", value.value}, {"interval", {value.low, value.high}}};
}

ordered_json one_to_many_json(const rewards::OneToMany& figures) {
  return {{"items", figures.items},
          {"ties", figures.ties},
          {"one_to_one", figure_json(figures.one_to_one)},
          {"one_to_many", figure_json(figures.one_to_many)},
          {"reciprocal_rank", figure_json(figures.reciprocal_rank)}};
}

ordered_json probes_json(const std::vector<rewards::RobustnessProbe>& probes) {
  auto json = ordered_json::object();
  for (const auto& probe : probes)
    json[probe.name] = {{"change", probe.change}, {"above", probe.above}};
  return json;
}

}  // namespace

std::string figures_text(const RewardFigures& figures) {
  std::string text = figures.name;
  if (std::isfinite(figures.milliseconds))
    text += data::formatted(", %.1f ms an image", figures.milliseconds);
  text +=
      "\n  slice                items   ties  one to one            one to many           "
      "reciprocal rank, %\n";
  for (const auto& slice : figures.slices) text += slice_text(slice.name, slice.figures);
  for (const auto& variant : figures.variants) {
    text += slice_text("in words: " + variant.name, variant.figures);
    text += "    ranking survives " + percent_text(variant.wordings.survives) +
            " %; deviation over wordings " +
            data::formatted("%.3f [%.3f, %.3f] of that over pictures\n",
                            variant.wordings.deviation.value, variant.wordings.deviation.low,
                            variant.wordings.deviation.high);
  }
  return text + probes_text("changes that should not matter", figures.robustness) +
         probes_text("attacks that should not pay", figures.hacking);
}

ordered_json figures_json(const RewardFigures& figures) {
  ordered_json json{{"reward", figures.name},
                    {"ms_an_image", figures.milliseconds},
                    {"left_out", figures.left_out},
                    {"slices", ordered_json::object()},
                    {"variants", ordered_json::object()},
                    {"robustness", probes_json(figures.robustness)},
                    {"hacking", probes_json(figures.hacking)},
                    {"worst", ordered_json::array()}};
  for (const auto& slice : figures.slices)
    json["slices"][slice.name] = one_to_many_json(slice.figures);
  for (const auto& variant : figures.variants) {
    auto& own = json["variants"][variant.name] = one_to_many_json(variant.figures);
    own["survives"] = figure_json(variant.wordings.survives);
    own["deviation"] = figure_json(variant.wordings.deviation);
  }
  for (size_t i = 0; i < std::min(kWorstInJson, figures.worst.size()); ++i)
    json["worst"].push_back(figures.worst[i] + 1);
  return json;
}

}  // namespace tools
