#include "diffusion/lora/fused.hpp"

#include <ATen/ATen.h>

#include <algorithm>

#include "data/base/error.hpp"
#include "data/base/numbers.hpp"
#include "data/base/shape.hpp"
#include "diffusion/naming/flux_names.hpp"

namespace diffusion {
namespace {

constexpr int64_t kMostSplitValues = 1 << 28;  // of a layer's weight
constexpr std::string_view kJointBlock = "joint_blocks.";

// How many blocks a network has in which the module's modulation has these sizes: the text's of the
// last block has two chunks, those before it have six.
int64_t blocks_that_show(const std::string& module, at::IntArrayRef shape) {
  const auto [rows, columns] = flat_size(shape);
  if (!module.starts_with(kJointBlock) || rows != 2 * columns) return 0;
  const auto block =
      data::leading_number<int32_t>(std::string_view(module).substr(kJointBlock.size()));
  return block ? int64_t{*block} + 1 : 0;
}

// A layer's change among those of a fused one.
struct Member {
  size_t place;  // among its layers
  LowRank pair;
  double scale;
};

// The lower factors one under the other, the upper ones on a diagonal of blocks: the rank is the
// sum of theirs. Rows without a member are zeros.
LoraChange in_one(const OriginalRows& rows, const std::vector<Member>& members) {
  if (rows.names.size() == 1 && !rows.swapped_halves) return {members[0].pair, members[0].scale};
  const auto share = [&](size_t place) { return rows.shares.empty() ? 1 : rows.shares[place]; };
  const int64_t unit = members[0].pair.up.size(0) / share(members[0].place);
  std::vector<at::Tensor> downs, columns;
  for (const Member& member : members) {
    int64_t before = 0, after = 0;
    for (size_t i = 0; i < member.place; ++i) before += unit * share(i);
    for (size_t i = member.place + 1; i < rows.names.size(); ++i) after += unit * share(i);
    const at::Tensor up = member.scale * member.pair.up.flatten(1);
    columns.push_back(at::constant_pad_nd(up, {0, 0, before, after}));
    downs.push_back(member.pair.down);
  }
  const at::Tensor up = at::cat(columns, 1);
  return {LowRank{at::cat(downs), rows.swapped_halves ? up.roll(up.size(0) / 2, 0) : up}, 1.0};
}

LoraChange whole_change(const at::Tensor& diff) { return {Whole{diff}, 1.0}; }

}  // namespace

std::map<std::string, LoraChange> diffusers_changes(const std::string& module,
                                                    const LoraChange& change,
                                                    const std::string& where) {
  const std::vector<int64_t> shape = change_shape(change);
  const OriginalRows rows = transformer_rows(module, blocks_that_show(module, shape));
  const auto count = static_cast<int64_t>(rows.names.size());
  if (count <= 1 && !rows.swapped_halves)
    return {{count == 1 ? rows.names.front() : module, change}};
  const auto counts = row_counts(rows, shape[0]);
  if (counts.empty() || (rows.swapped_halves && shape[0] % 2 != 0) ||
      shape[0] > kMostSplitValues / std::max<int64_t>(flat_size(shape).second, 1))
    throw data::BadInput(where + ": expected the rows of " + std::to_string(count) +
                         " layers, found " + data::shape_text(shape) + "; the file is damaged");
  const auto* pair = std::get_if<LowRank>(&change.form);
  const at::Tensor all = pair ? pair->up : dense_change(change);
  const at::Tensor ordered = rows.swapped_halves ? all.roll(all.size(0) / 2, 0) : all;
  std::map<std::string, LoraChange> changes;
  const auto parts = ordered.split_with_sizes(counts);
  for (size_t i = 0; i < parts.size(); ++i) {
    const at::Tensor own = parts[i].contiguous();
    changes.emplace(rows.names[i],
                    pair ? LoraChange{LowRank{pair->down, own}, change.scale} : whole_change(own));
  }
  return changes;
}

std::map<std::string, LoraChange> original_changes(
    const std::map<std::string, LoraChange>& modules) {
  std::map<std::string, std::vector<Member>> groups;
  for (const auto& [module, change] : modules) {
    const auto* pair = std::get_if<LowRank>(&change.form);
    const std::string original = flux_module(module);
    TORCH_CHECK(pair && !original.empty(), "original_changes: ", module,
                ": expected a low-rank change of FLUX");
    const auto& names = flux_rows(original).names;
    const auto place = std::find(names.begin(), names.end(), module);
    groups[original].push_back({static_cast<size_t>(place - names.begin()), *pair, change.scale});
  }
  std::map<std::string, LoraChange> changes;
  for (const auto& [original, members] : groups)
    changes.emplace(original, in_one(flux_rows(original), members));
  return changes;
}

}  // namespace diffusion
