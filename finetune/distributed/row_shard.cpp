#include "finetune/distributed/row_shard.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <numeric>
#include <sstream>

namespace finetune {
namespace {

constexpr int64_t kBucketBytes = 25 << 20;

// "6 3 64 64": type and sizes of a row
std::string describe(const at::Tensor& own) {
  if (!own.defined()) return "";
  std::string text = std::to_string(static_cast<int>(own.scalar_type()));
  for (const int64_t size : own.sizes().slice(1)) text += " " + std::to_string(size);
  return text;
}

// No rows, of the kind that other ranks have.
at::Tensor no_rows(const std::vector<std::string>& described) {
  const auto known = std::find_if(described.begin(), described.end(),
                                  [](const auto& text) { return !text.empty(); });
  TORCH_CHECK(known != described.end(), "gathered: no rank has a row");
  std::istringstream words(*known);
  int type = 0;
  words >> type;
  std::vector<int64_t> sizes{0};
  for (int64_t size = 0; words >> size;) sizes.push_back(size);
  return at::empty(sizes, at::TensorOptions().dtype(static_cast<at::ScalarType>(type)));
}

}  // namespace

RowShard whole(int64_t total) { return contiguous_shard({}, total); }

RowShard contiguous_shard(const ProcessGroup& ranks, int64_t total) {
  const int64_t begin = total * ranks.rank / ranks.count,
                end = total * (ranks.rank + 1) / ranks.count;
  RowShard share{ranks, std::vector<int64_t>(static_cast<size_t>(end - begin)), total};
  std::iota(share.rows.begin(), share.rows.end(), begin);
  return share;
}

RowShard strided_shard(const ProcessGroup& ranks, int64_t total) {
  RowShard share{ranks, {}, total};
  for (int64_t row = ranks.rank; row < total; row += ranks.count) share.rows.push_back(row);
  return share;
}

at::Tensor all_gather_rows(const RowShard& share, const at::Tensor& own) {
  if (share.ranks.count == 1) return own;
  at::Tensor rows = own;
  if (share.total < share.ranks.count) {  // some rank may have none
    const auto described = all_gather_text(share.ranks, describe(own));
    if (!own.defined()) rows = no_rows(described);
  }
  std::vector<int64_t> sizes = rows.sizes().vec();
  sizes[0] = share.total;
  // Every row is one rank's; the others add zero, which keeps its bits, and NaN.
  at::Tensor all = at::zeros(sizes, rows.options());
  all.index_copy_(0, at::tensor(share.rows, at::kLong).to(rows.device()), rows.contiguous());
  all_reduce_sum(share.ranks, all);
  return all;
}

void all_reduce_gradients(const ProcessGroup& ranks, const train::Params& params) {
  if (ranks.count == 1) return;
  std::vector<at::Tensor> buckets;
  std::vector<std::vector<at::Tensor>> members(1);
  int64_t bytes = 0;
  for (const auto& param : params) {
    if (!param.value.grad().defined())
      param.value.mutable_grad() = at::zeros_like(param.value.detach());
    const at::Tensor gradient = param.value.grad().detach();
    if (bytes >= kBucketBytes) {
      members.emplace_back();
      bytes = 0;
    }
    members.back().push_back(gradient);
    bytes += gradient.numel() * gradient.element_size();
  }
  for (const auto& group : members) {
    std::vector<at::Tensor> flat;
    for (const auto& gradient : group) flat.push_back(gradient.reshape({-1}));
    buckets.push_back(at::cat(flat));
  }
  all_reduce_sum_each(ranks, buckets);
  for (size_t i = 0; i < buckets.size(); ++i) {
    int64_t start = 0;
    for (const auto& gradient : members[i]) {
      at::Tensor(gradient).copy_(
          buckets[i].narrow(0, start, gradient.numel()).view(gradient.sizes()));
      start += gradient.numel();
    }
  }
}

}  // namespace finetune
