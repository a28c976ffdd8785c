#include "finetune/distributed/zero_optimizer.hpp"

#include <ATen/ATen.h>

namespace finetune {
namespace {

bool is_other(const MomentOwners& owners, size_t i) {
  return !owners.owner.empty() && owners.owner[i] != owners.ranks.rank;
}

at::Tensor room_for(const train::Param& param) { return at::zeros_like(param.value.detach()); }

}  // namespace

MomentOwners partition_moments(const ProcessGroup& ranks, const train::Params& params) {
  int64_t total = 0, before = 0;
  for (const auto& param : params) total += param.value.numel();
  MomentOwners owners{ranks, {}};
  for (const auto& param : params) {
    const int64_t middle = before + param.value.numel() / 2;
    owners.owner.push_back(
        std::min(ranks.count - 1, middle * ranks.count / std::max<int64_t>(1, total)));
    before += param.value.numel();
  }
  return owners;
}

void drop_unowned_moments(const MomentOwners& owners, train::AdamWState& state) {
  for (size_t i = 0; i < state.exp_avg.size(); ++i) {
    if (!is_other(owners, i)) continue;
    state.exp_avg[i] = at::empty({0}, state.exp_avg[i].options());
    state.exp_avg_sq[i] = at::empty({0}, state.exp_avg_sq[i].options());
  }
}

void allocate_all_moments(const MomentOwners& owners,
                          const train::Params& params,
                          train::AdamWState& state) {
  for (size_t i = 0; i < params.size(); ++i) {
    if (!is_other(owners, i)) continue;
    state.exp_avg[i] = room_for(params[i]);
    state.exp_avg_sq[i] = room_for(params[i]);
  }
}

void gather_moments(const MomentOwners& owners,
                    const train::Params& params,
                    train::AdamWState& state) {
  if (owners.owner.empty()) return;
  for (size_t i = 0; i < params.size(); ++i) {
    for (auto* moment : {&state.exp_avg[i], &state.exp_avg_sq[i]}) {
      const at::Tensor sent = is_other(owners, i) ? room_for(params[i]) : *moment;
      broadcast(owners.ranks, owners.owner[i], sent);
      if (owners.ranks.rank == 0) *moment = sent;
    }
  }
}

void sharded_step(const MomentOwners& owners,
                  const train::Params& params,
                  train::AdamWState& state,
                  const train::AdamWOptions& options,
                  double lr) {
  for (size_t i = 0; i < params.size(); ++i) {
    if (is_other(owners, i)) params[i].value.mutable_grad() = at::Tensor();
  }
  train::adamw_step(params, state, options, lr);
  for (size_t i = 0; !owners.owner.empty() && i < params.size(); ++i)
    broadcast(owners.ranks, owners.owner[i], params[i].value.detach());
}

}  // namespace finetune
