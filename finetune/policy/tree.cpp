#include "finetune/policy/tree.hpp"

#include <ATen/ATen.h>

#include <algorithm>

#include "data/base/error.hpp"
#include "data/base/shape.hpp"
#include "data/base/strings.hpp"

namespace finetune {
namespace {

constexpr size_t kMostSplits = 16;  // in two, of 65536 images

std::string branch_text(const std::vector<int64_t>& steps) {
  std::vector<std::string> words;
  for (const int64_t step : steps) words.push_back(std::to_string(step));
  return data::joined(words, ",");
}

void check_branch(const FinetuneConfig& config) {
  const auto& steps = config.branch;
  const bool ascending =
      std::adjacent_find(steps.begin(), steps.end(), std::greater_equal<>()) == steps.end();
  if (!ascending || steps.front() < 0 || steps.back() >= config.sample_num_steps ||
      steps.size() > kMostSplits) {
    throw data::BadInput("branch: expected at most " + std::to_string(kMostSplits) +
                         " steps from 0 to " + std::to_string(config.sample_num_steps - 1) +
                         " (sample_num_steps), ascending, found " + branch_text(steps));
  }
  if (config.share_noise && steps.front() > 0) {
    throw data::BadInput("share_noise: the images of a tree that first splits at step " +
                         std::to_string(steps.front()) +
                         " (branch) start at the same noise without it; leave it out");
  }
  const int64_t divisor = int64_t{1} << (steps.size() - 1);
  if (config.images_per_prompt % divisor != 0 || config.images_per_prompt < 2 * divisor) {
    throw data::BadInput("images_per_prompt: expected a multiple of " + std::to_string(divisor) +
                         " that is at least " + std::to_string(2 * divisor) + " (--branch " +
                         branch_text(steps) +
                         " splits every branch in two at each step after the " + "first), found " +
                         std::to_string(config.images_per_prompt));
  }
}

// The means of groups of `size` rows, and which groups have any. x, counted: [n] -> [n / size]
std::pair<at::Tensor, at::Tensor> group_means(const at::Tensor& x,
                                              const at::Tensor& counted,
                                              int64_t size) {
  const at::Tensor number = branch_sums(counted.to(at::kDouble), size);
  return {branch_sums(at::where(counted, x, 0.0), size) / number.clamp_min(1), number.gt(0)};
}

// The images of the branch from which the branches of step k parted; 0: they are the first.
int64_t parent_size(const BranchSizes& sizes, size_t k) {
  for (size_t j = k; j-- > 0;) {
    if (sizes[j] > sizes[k]) return sizes[j];
  }
  return 0;
}

}  // namespace

BranchSizes branch_sizes(const FinetuneConfig& config) {
  BranchSizes sizes(static_cast<size_t>(config.sample_num_steps), 1);
  const auto& steps = config.branch;
  if (steps.empty()) return sizes;
  check_branch(config);
  for (size_t k = 0; k < sizes.size(); ++k) {
    const auto splits = std::count_if(
        steps.begin(), steps.end(), [&](int64_t step) { return step <= static_cast<int64_t>(k); });
    const auto halvings = static_cast<int64_t>(steps.size()) - splits;  // that are to come
    sizes[k] = splits == 0 ? config.images_per_prompt : int64_t{1} << halvings;
  }
  return sizes;
}

int64_t transitions(const BranchSizes& sizes, int64_t images) {
  int64_t count = 0;
  for (const int64_t size : sizes) count += images / size;
  return count;
}

at::Tensor first_of_branch(const at::Tensor& images, int64_t size) {
  return size == 1 ? images : images.slice(0, 0, std::nullopt, size).contiguous();
}

at::Tensor of_images(const at::Tensor& branches, int64_t size) {
  return size == 1 ? branches : branches.repeat_interleave(size, 0);
}

at::Tensor branch_sums(const at::Tensor& images, int64_t size) {
  return size == 1 ? images : images.unflatten(0, {images.size(0) / size, size}).sum(1);
}

at::Tensor edge_advantages(const at::Tensor& labels,
                           const at::Tensor& counted,
                           const BranchSizes& sizes) {
  TORCH_CHECK(!sizes.empty(), "edge_advantages: sizes are empty");
  data::check_shape(counted, {labels.size(0)}, "edge_advantages: counted");
  std::vector<at::Tensor> columns;
  for (size_t k = 0; k < sizes.size(); ++k) {
    if (k > 0 && sizes[k] == sizes[k - 1]) {  // the same edge goes on
      columns.push_back(columns.back());
      continue;
    }
    auto [edges, known] = group_means(labels, counted, sizes[k]);
    if (const int64_t parent = parent_size(sizes, k); parent > 0) {
      const int64_t siblings = parent / sizes[k];
      edges = edges - of_images(group_means(edges, known, siblings).first, siblings);
    }
    columns.push_back(of_images(at::where(known, edges, 0.0), sizes[k]));
  }
  return at::stack(columns, 1);
}

}  // namespace finetune
