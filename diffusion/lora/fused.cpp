#include "diffusion/lora/fused.hpp"

#include <ATen/ATen.h>

#include "data/base/error.hpp"
#include "data/base/numbers.hpp"
#include "data/base/shape.hpp"
#include "diffusion/naming/mmdit_names.hpp"

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

LoraChange whole_change(const at::Tensor& diff) { return {Whole{diff}, 1.0}; }

}  // namespace

std::map<std::string, LoraChange> diffusers_changes(const std::string& module,
                                                    const LoraChange& change,
                                                    const std::string& where) {
  const std::vector<int64_t> shape = change_shape(change);
  const MMDiTRows rows = mmdit_rows(module, blocks_that_show(module, shape));
  const auto count = static_cast<int64_t>(rows.names.size());
  if (count <= 1 && !rows.swapped_halves)
    return {{count == 1 ? rows.names.front() : module, change}};
  if (shape[0] % (rows.swapped_halves ? 2 : count) != 0 ||
      shape[0] > kMostSplitValues / std::max<int64_t>(flat_size(shape).second, 1))
    throw data::BadInput(where + ": expected the rows of " + std::to_string(count) +
                         " layers, found " + data::shape_text(shape) + "; the file is damaged");
  const auto* pair = std::get_if<LowRank>(&change.form);
  const at::Tensor all = pair ? pair->up : dense_change(change);
  const at::Tensor ordered = rows.swapped_halves ? all.roll(all.size(0) / 2, 0) : all;
  std::map<std::string, LoraChange> changes;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t size = shape[0] / count;
    const at::Tensor own = ordered.slice(0, i * size, (i + 1) * size).contiguous();
    changes.emplace(rows.names[static_cast<size_t>(i)],
                    pair ? LoraChange{LowRank{pair->down, own}, change.scale} : whole_change(own));
  }
  return changes;
}

}  // namespace diffusion
