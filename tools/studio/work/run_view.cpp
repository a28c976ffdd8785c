#include "tools/studio/work/run_view.hpp"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "tools/gallery/collection.hpp"
#include "tools/studio/work/kept_models.hpp"

namespace fs = std::filesystem;
using nlohmann::ordered_json;

namespace studio {
namespace {

constexpr size_t kMostRows = 8;      // pictures of each evaluation
constexpr size_t kMostPoints = 400;  // of a curve

ordered_json series_json(const gallery::Series& series) {
  const size_t every = std::max<size_t>(1, (series.steps.size() + kMostPoints - 1) / kMostPoints);
  ordered_json steps = ordered_json::array(), values = ordered_json::array();
  for (size_t i = 0; i < series.steps.size(); ++i) {
    if (i % every != 0 && i + 1 != series.steps.size()) continue;
    steps.push_back(series.steps[i]);
    values.push_back(series.values[i] ? ordered_json(*series.values[i]) : ordered_json(nullptr));
  }
  return {{"name", series.name}, {"steps", steps}, {"values", values}};
}

// Epochs that are complete, and how long the later ones took each.
void add_pace(const fs::path& metrics, ordered_json& view) {
  std::map<int64_t, double> ended;  // by epoch
  try {
    data::for_each_line(metrics, [&](const std::string& text, const std::string&) {
      const auto line = data::parse_json(text);
      if (!line.is_object() || !line.contains("epoch") || !line.contains("time") ||
          !line["epoch"].is_number_integer() || !line["time"].is_number())
        return;
      ended[line["epoch"].get<int64_t>()] = line["time"].get<double>();
    });
  } catch (const data::BadInput&) {  // it is being written
  }
  if (ended.empty()) return;
  view["epochs"] = ended.rbegin()->first;
  const auto from = ended.begin();
  if (ended.rbegin()->first > from->first)
    view["seconds_per_epoch"] = (ended.rbegin()->second - from->second) /
                                static_cast<double>(ended.rbegin()->first - from->first);
}

// The guard's last verdict: its state and reason.
void add_verdict(const fs::path& verdicts, ordered_json& view) {
  std::error_code error;
  if (!fs::exists(verdicts, error)) return;
  try {
    data::for_each_line(verdicts, [&](const std::string& text, const std::string&) {
      const auto line = data::parse_json(text);
      if (!line.is_object() || !line.contains("state") || !line.contains("reason")) return;
      view["guard"] = {{"state", line["state"]}, {"reason", line["reason"]}};
    });
  } catch (const data::BadInput&) {  // it is being written
  }
}

void add_kept(const fs::path& run, ordered_json& view) {
  view["kept"] = ordered_json::array();
  for (const auto& model : kept_models(run))
    view["kept"].push_back(
        {{"step", model.step}, {"accepted", model.accepted}, {"shown", model.shown}});
}

size_t evaluations_in(const fs::path& run) {
  std::error_code error;
  size_t count = 0;
  for (const auto& entry : fs::directory_iterator(run / "samples", error))
    count += entry.is_directory(error);
  return count;
}

void add_pictures(const fs::path& run, Pictures& pictures, ordered_json& view) {
  const auto all = gallery::collect({run.string()});
  ordered_json names = ordered_json::array(), rows = ordered_json::array();
  for (const auto& set : all.sets) names.push_back(set.name);
  for (size_t item = 0; item < std::min(all.items.size(), kMostRows); ++item) {
    ordered_json row{{"prompt", all.items[item].prompt}, {"pictures", ordered_json::array()}};
    for (size_t set = 0; set < all.sets.size(); ++set) row["pictures"].push_back(nullptr);
    for (const auto& image : all.images) {
      if (image.item == item) row["pictures"][image.set] = address_of(image.path, pictures);
    }
    rows.push_back(row);
  }
  view["evaluations"] = names;
  view["rows"] = rows;
}

}  // namespace

std::string address_of(const fs::path& file, Pictures& pictures) {
  return "/picture/" + pictures.name_of(file);
}

ordered_json run_view(const fs::path& run, size_t known, Pictures& pictures) {
  ordered_json view{{"series", ordered_json::array()}};
  const fs::path metrics = run / "metrics.jsonl";
  std::error_code error;
  if (fs::exists(metrics, error)) {
    std::vector<std::string> warnings;
    for (const auto& series : gallery::read_metrics(metrics, warnings))
      view["series"].push_back(series_json(series));
    add_pace(metrics, view);
    add_verdict(run / "guard.jsonl", view);
  }
  add_kept(run, view);
  if (evaluations_in(run) <= known) return view;
  try {
    add_pictures(run, pictures, view);
  } catch (const data::BadInput&) {  // an evaluation is being written: next time
  }
  return view;
}

}  // namespace studio
