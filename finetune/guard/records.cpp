#include "finetune/guard/records.hpp"

#include <ATen/ATen.h>

#include <nlohmann/json.hpp>

#include "data/base/error.hpp"
#include "data/base/format.hpp"
#include "data/base/json.hpp"
#include "data/weights/safetensors.hpp"

namespace guard {
namespace {

namespace fs = std::filesystem;

constexpr const char* kCounts = "counts";  // [6] int64: see counts_of

at::Tensor counts_of(const GuardState& state) {
  return at::tensor(
      {int64_t{state.before.kl_over}, int64_t{state.braked}, state.early, state.accepted_step,
       int64_t{state.before.held_out_down}, int64_t{state.before.following_down}},
      at::kLong);
}

std::string epoch_name(size_t epoch, size_t reward) {
  return "epoch." + std::to_string(epoch) + "." + std::to_string(reward);
}

// [N, 3]
at::Tensor tensor_of(const std::vector<PromptMoments>& prompts) {
  at::Tensor table = at::empty({static_cast<int64_t>(prompts.size()), 3}, at::kDouble);
  for (size_t i = 0; i < prompts.size(); ++i) {
    const at::Tensor row = table[static_cast<int64_t>(i)];
    row[0] = prompts[i].xy;
    row[1] = prompts[i].xx;
    row[2] = prompts[i].yy;
  }
  return table;
}

std::vector<PromptMoments> moments_of(const at::Tensor& table) {
  std::vector<PromptMoments> prompts;
  for (int64_t i = 0; i < table.size(0); ++i)
    prompts.push_back(
        {table[i][0].item<double>(), table[i][1].item<double>(), table[i][2].item<double>()});
  return prompts;
}

at::Tensor tensor_at(const data::Weights& weights, const std::string& name) {
  const auto found = weights.tensors.find(name);
  if (found == weights.tensors.end())
    throw data::BadInput(weights.source + ": expected the tensor " + name +
                         ", found none; the file is damaged: use an older checkpoint");
  return found->second.clone();  // a view of the file ends with it
}

}  // namespace

void save_guard(const fs::path& file, const GuardState& state) {
  data::Weights weights;
  weights.tensors[kCounts] = counts_of(state);
  if (state.start) {
    const Measures& start = *state.start;
    weights.tensors["start.trained"] = start.trained;
    weights.tensors["start.held_out"] = start.held_out;
    weights.tensors["start.statistics"] = start.statistics;
    weights.tensors["start.nearest"] = start.nearest;
    weights.tensors["start.figures"] =
        at::tensor({start.diversity, start.kl_nats, start.disagreement}, at::kDouble);
  }
  for (size_t k = 0; k < state.epochs.size(); ++k) {
    for (size_t h = 0; h < state.epochs[k].size(); ++h)
      weights.tensors[epoch_name(k, h)] = tensor_of(state.epochs[k][h]);
  }
  data::write_safetensors(file, weights);
}

GuardState load_guard(const fs::path& file, size_t held_out) {
  GuardState state;
  if (!fs::exists(file)) return state;
  const data::Weights weights = data::read_safetensors(file);
  const at::Tensor counts = tensor_at(weights, kCounts);
  if (counts.numel() != 6 || counts.scalar_type() != at::kLong)
    throw data::BadInput(file.string() + ": counts: expected 6 whole numbers, found others");
  state.before.kl_over = counts[0].item<int64_t>() != 0;
  state.braked = counts[1].item<int64_t>() != 0;
  state.early = counts[2].item<int64_t>();
  state.accepted_step = counts[3].item<int64_t>();
  state.before.held_out_down = counts[4].item<int64_t>() != 0;
  state.before.following_down = counts[5].item<int64_t>() != 0;
  if (weights.tensors.count("start.trained") > 0) {
    const at::Tensor figures = tensor_at(weights, "start.figures");
    state.start = Measures{.trained = tensor_at(weights, "start.trained"),
                           .held_out = tensor_at(weights, "start.held_out"),
                           .statistics = tensor_at(weights, "start.statistics"),
                           .nearest = tensor_at(weights, "start.nearest"),
                           .diversity = figures[0].item<double>(),
                           .kl_nats = figures[1].item<double>(),
                           .disagreement = figures[2].item<double>()};
    if (state.start->held_out.size(1) != static_cast<int64_t>(held_out))
      throw data::BadInput(file.string() + ": expected " + std::to_string(held_out) +
                           " held-out rewards, found " +
                           std::to_string(state.start->held_out.size(1)) +
                           "; name the same --guard_rewards, or start in a new folder");
  }
  for (size_t k = 0; weights.tensors.count(epoch_name(k, 0)) > 0; ++k) {
    state.epochs.emplace_back();
    for (size_t h = 0; h < held_out; ++h)
      state.epochs.back().push_back(moments_of(tensor_at(weights, epoch_name(k, h))));
  }
  return state;
}

std::string verdict_line(const Verdict& verdict) {
  nlohmann::ordered_json line{{"step", verdict.step},
                              {"state", name_of(verdict.state)},
                              {"kind", verdict.kind},
                              {"reason", verdict.reason},
                              {"accepted", nullptr}};
  if (verdict.accepted_step >= 0) line["accepted"] = verdict.accepted_step;
  line["signals"] = nlohmann::ordered_json::object();
  for (const auto& [name, state] : verdict.signals) line["signals"][name] = name_of(state);
  line["worst"] = nlohmann::ordered_json::array();
  for (const auto& [image, change] : verdict.worst)
    line["worst"].push_back(
        {{"image", data::formatted("%04lld", static_cast<long long>(image))}, {"change", change}});
  return data::to_text(line);
}

}  // namespace guard
