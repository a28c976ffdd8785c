#include "diffusion/networks/unet/reward_conditioning_config.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "data/base/error.hpp"
#include "data/base/json.hpp"
#include "diffusion/networks/unet/reward_conditioning.hpp"

using data::BadInput;
using nlohmann::json;

namespace diffusion {
namespace {

constexpr const char* kKey = "reward_condition";

std::string list_of(const std::vector<std::string>& names) {
  std::string text;
  for (const auto& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

}  // namespace

RewardBranchConfig published_reward_config() {
  RewardBranchConfig config;
  config.layout = RewardLayout::kPublished;
  config.embedding_dim = 256;
  config.max_period = 10000;
  config.text_dim = 768;
  return config;
}

RewardBranchConfig reward_config_of(const data::Weights& weights) {
  if (!data::has(weights, "proj_deal.proj_in.weight")) return {};
  RewardBranchConfig config = published_reward_config();
  const auto inputs = [&](const std::string& layer) {
    return data::take(weights, layer + ".weight", {-1, -1}).size(1);
  };
  config.embedding_dim =
      inputs("add_embedding.linear_1") / static_cast<int64_t>(config.axes.size());
  config.text_dim = inputs("text_linear");
  return config;
}

bool reads_reward(const RewardBranchConfig& config) { return config.layout != RewardLayout::kNone; }

int64_t axis_index(const RewardBranchConfig& config,
                   const std::string& name,
                   const std::string& where) {
  const auto found = std::find(config.axes.begin(), config.axes.end(), name);
  if (found != config.axes.end()) return found - config.axes.begin();
  const std::string near = data::nearest(name, config.axes);
  throw BadInput(where + ": unknown axis '" + name + "'; expected one of " + list_of(config.axes) +
                 (near.empty() ? "" : "; did you mean " + near + "?"));
}

void check_reward_config(const RewardBranchConfig& config,
                         int64_t width,
                         const std::string& source) {
  if (!reads_reward(config)) return;
  const auto refuse = [&](const std::string& key, const std::string& text) {
    throw BadInput(source + ": " + kKey + "." + key + ": expected " + text);
  };
  const std::set<std::string> distinct(config.axes.begin(), config.axes.end());
  if (config.axes.empty() || distinct.size() != config.axes.size() || distinct.contains(""))
    refuse("axes", "distinct names, at least one, found " + list_of(config.axes));
  if (config.embedding_dim < 2 || config.embedding_dim % 2 != 0)
    refuse("embedding_dim",
           "an even number of at least 2, found " + std::to_string(config.embedding_dim));
  if (!(config.max_period > 1))
    refuse("max_period", "more than 1, found " + std::to_string(config.max_period));
  if (!(config.highest > config.lowest)) refuse("range", "a lower and a higher number");
  if (config.layout == RewardLayout::kNative && config.text_dim >= 0) return;
  if (config.text_dim < 1)
    refuse("text_dim", "at least 1, found " + std::to_string(config.text_dim));
  if (width % kRewardHeads != 0)
    throw BadInput(source + ": block_out_channels: expected a multiple of " +
                   std::to_string(kRewardHeads) + " for the published reward branch, found " +
                   std::to_string(width));
}

RewardBranchConfig read_reward_config(const json& object, const std::string& source) {
  RewardBranchConfig config;
  const auto found = object.find(kKey);
  if (found == object.end() || found->is_null()) return config;
  const std::string where = source + ": " + kKey;
  try {
    config.layout = reward_layout_from_name(found->at("layout").get<std::string>(), where);
    found->at("axes").get_to(config.axes);
    const auto range = found->at("range").get<std::vector<double>>();
    config.lowest = range.at(0);
    config.highest = range.at(1);
    found->at("embedding_dim").get_to(config.embedding_dim);
    found->at("max_period").get_to(config.max_period);
    found->at("text_dim").get_to(config.text_dim);
  } catch (const json::exception&) {
    throw BadInput(where + ": expected layout, axes, range, embedding_dim, max_period and " +
                   "text_dim, found " + data::to_text(*found));
  } catch (const std::out_of_range&) {
    throw BadInput(where + ".range: expected two numbers, found " +
                   data::to_text(found->at("range")));
  }
  return config;
}

json reward_config_json(const RewardBranchConfig& config) {
  return {{"layout", reward_layout_name(config.layout)},
          {"axes", config.axes},
          {"range", {config.lowest, config.highest}},
          {"embedding_dim", config.embedding_dim},
          {"max_period", config.max_period},
          {"text_dim", config.text_dim}};
}

RewardLayout reward_layout_from_name(const std::string& name, const std::string& where) {
  if (name == "none") return RewardLayout::kNone;
  if (name == "native") return RewardLayout::kNative;
  if (name == "published") return RewardLayout::kPublished;
  throw BadInput(where + ": layout: expected native, published or none, found '" + name + "'");
}

std::string reward_layout_name(RewardLayout layout) {
  return layout == RewardLayout::kNone     ? "none"
         : layout == RewardLayout::kNative ? "native"
                                           : "published";
}

}  // namespace diffusion
