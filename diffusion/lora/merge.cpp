#include "diffusion/lora/merge.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>

#include "data/base/error.hpp"
#include "data/base/shape.hpp"
#include "data/weights/tensor_map.hpp"
#include "diffusion/lora/apply.hpp"

namespace diffusion {
namespace {

using data::BadInput;

// A LoRA's change of a layer, and how strongly it counts.
struct Share {
  const LoraWeights* lora;
  const LoraChange* change;
  double weight;
};
using Shares = std::map<std::string, std::map<std::string, std::vector<Share>>>;

Shares shares_of(const std::vector<LoraUse>& uses, int64_t layers_per_block) {
  Shares shares;
  for (const auto& use : uses) {
    for (const auto& [part, modules] : use.lora->parts) {
      const double weight = is_network_part(part) ? use.unet_weight : use.text_weight;
      for (const auto& [module, change] : modules) {
        const std::string name =
            part == kUnetPart ? diffusers_module(module, layers_per_block) : module;
        auto& list = shares[part][name];
        list.push_back({use.lora.get(), &change, weight});
        const auto expected = change_shape(*list[0].change), found = change_shape(change);
        if (flat_size(found) != flat_size(expected))
          throw BadInput(use.lora->source + ": layer " + part + "." + name +
                         ": changes a weight of " + data::shape_text(found) + ", " +
                         list[0].lora->source + " one of " + data::shape_text(expected) +
                         "; the LoRAs are of different models");
      }
    }
  }
  return shares;
}

bool all_low_rank(const std::vector<Share>& list) {
  return std::all_of(list.begin(), list.end(), [](const Share& share) {
    return std::holds_alternative<LowRank>(share.change->form);
  });
}

// [down 1; down 2] and [w1 s1 up 1, w2 s2 up 2]: the product is the sum of the products.
LoraChange side_by_side(const std::vector<Share>& list) {
  std::vector<at::Tensor> downs, ups;
  const at::Tensor first_down = std::get<LowRank>(list[0].change->form).down;
  const at::Tensor first_up = std::get<LowRank>(list[0].change->form).up;
  for (const Share& share : list) {
    const auto& pair = std::get<LowRank>(share.change->form);
    std::vector<int64_t> down = first_down.sizes().vec(), up = first_up.sizes().vec();
    down[0] = up[1] = pair.down.size(0);
    downs.push_back(pair.down.reshape(down));
    ups.push_back(share.weight * share.change->scale * pair.up.reshape(up));
  }
  return {LowRank{at::cat(downs, 0), at::cat(ups, 1)}, 1.0};
}

at::Tensor dense_sum(const std::vector<Share>& list) {
  at::Tensor sum = list[0].weight * dense_change(*list[0].change);
  for (size_t i = 1; i < list.size(); ++i)
    sum = sum + list[i].weight * dense_change(*list[i].change).view(sum.sizes());
  return sum;
}

// The layer's weight in the tuned checkpoint less that in the base.
at::Tensor change_between(const LoraTarget& base,
                          const LoraTarget& tuned,
                          const std::string& part,
                          const std::string& module) {
  const at::Tensor& before = *base.parts.at(part).at(module);
  const auto sites = tuned.parts.find(part);
  const bool known = sites != tuned.parts.end() && sites->second.contains(module);
  if (!known || sites->second.at(module)->sizes() != before.sizes())
    throw BadInput(tuned.source + ": layer " + part + "." + module + ": expected a weight of " +
                   data::shape_text(before.sizes()) + " as in " + base.source + ", found " +
                   (known ? data::shape_text(sites->second.at(module)->sizes()) : "none") +
                   "; they are of different models");
  const at::Tensor change = sites->second.at(module)->to(at::kFloat) - before.to(at::kFloat);
  if (!data::all_finite(change))
    throw BadInput(tuned.source + ": layer " + part + "." + module +
                   ": NaN or infinite values; the file is damaged");
  return change;
}

// The number of values to keep of the squares, which are in falling order.
int64_t rank_for(const at::Tensor& squares, const Reduction& reduction) {
  int64_t rank = squares.size(0);
  if (reduction.rank > 0) rank = std::min(rank, reduction.rank);
  if (reduction.energy > 0) {
    const at::Tensor share = squares.cumsum(0) / squares.sum();
    const int64_t needed = share.lt(reduction.energy).sum().item<int64_t>() + 1;
    rank = std::min(rank, needed);
  }
  return rank;
}

}  // namespace

Approximation approximate(const at::Tensor& dense, const Reduction& reduction) {
  const at::NoGradGuard no_grad;
  const at::Tensor wide = dense.flatten(1).to(at::kDouble);  // [m, n]
  const bool upright = wide.size(0) > wide.size(1);
  const at::Tensor flat = upright ? wide.t() : wide;
  // The squares of the singular values are the eigenvalues of the smaller Gram matrix; in double
  // precision they hold 8 digits, and it is many times faster than the decomposition itself.
  const auto [values, vectors] = at::linalg_eigh(flat.mm(flat.t()));
  const at::Tensor squares = values.flip(0).clamp_min(0);
  const int64_t rank = rank_for(squares, reduction);
  const at::Tensor left = vectors.flip(1).slice(1, 0, rank);  // [m, r]
  const at::Tensor right = left.t().mm(flat);                 // [r, n] singular values included
  const at::Tensor root = squares.slice(0, 0, rank).clamp_min(1e-30).pow(0.25);
  at::Tensor up = left * root, down = right / root.unsqueeze(1);
  if (upright) {
    std::swap(up, down);
    up = up.t();
    down = down.t();
  }
  std::vector<int64_t> down_shape = dense.sizes().vec(), up_shape(down_shape.size(), 1);
  down_shape[0] = up_shape[1] = rank;
  up_shape[0] = dense.size(0);
  return {{down.contiguous().view(down_shape).to(at::kFloat),
           up.contiguous().view(up_shape).to(at::kFloat)},
          squares.slice(0, 0, rank).sum().item<double>(),
          squares.sum().item<double>()};
}

LoraResult combine_loras(const std::vector<LoraUse>& uses,
                         const Reduction& reduction,
                         int64_t layers_per_block) {
  TORCH_CHECK(!uses.empty(), "combine_loras: expected at least one LoRA");
  const bool reduced = reduction.rank > 0 || reduction.energy > 0;
  LoraResult result;
  double kept = 0, all = 0;
  for (const auto& [part, modules] : shares_of(uses, layers_per_block)) {
    for (const auto& [module, list] : modules) {
      if (!reduced && all_low_rank(list)) {
        result.lora.parts[part][module] = side_by_side(list);
        continue;
      }
      if (!reduced)
        throw BadInput(list[0].lora->source + ": layer " + part + "." + module + " is a " +
                       change_name(*list[0].change) +
                       ", which has no exact form in a LoRA; give --rank or --energy");
      const Approximation near = approximate(dense_sum(list), reduction);
      result.lora.parts[part][module] = {near.pair, 1.0};
      kept += near.kept;
      all += near.all;
    }
  }
  result.kept = all > 0 ? kept / all : 1.0;
  return result;
}

LoraResult extract_lora(const LoraTarget& base,
                        const LoraTarget& tuned,
                        const Reduction& reduction) {
  const at::NoGradGuard no_grad;
  LoraResult result;
  double kept = 0, all = 0;
  for (const auto& [part, sites] : base.parts) {
    for (const auto& [module, weight] : sites) {
      const at::Tensor change = change_between(base, tuned, part, module);
      if (!change.any().item<bool>()) {
        ++result.unchanged;
        continue;
      }
      const Approximation near = approximate(change, reduction);
      result.lora.parts[part][module] = {near.pair, 1.0};
      kept += near.kept;
      all += near.all;
    }
  }
  if (result.lora.parts.empty())
    throw BadInput(tuned.source + ": no layer differs from " + base.source +
                   "'s; there is nothing to extract");
  result.kept = kept / all;
  return result;
}

}  // namespace diffusion
