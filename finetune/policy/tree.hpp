#pragma once

// Trees of rollouts: the images of a prompt share the first steps of their chain and part at some.
// A branch is what images that share a step's transition have in common; the images are the leaves.
// Images of a branch stand side by side, and all branches of a step have as many images, so that
// one number for each step says everything: at step k image i is in branch i / sizes[k].

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "finetune/policy/config.hpp"

namespace finetune {

// T numbers: the images of a branch at each step. Each is a multiple of the next.
using BranchSizes = std::vector<int64_t>;

// The tree of a prompt by config.branch. At the first step listed there are images_per_prompt /
// 2^(n - 1) branches, n being the number of steps listed; at each later one every branch splits in
// two. Before the first there is one branch. Where the first is step 0, or none is listed, images
// of different branches also start at different noise. All are 1 where none is listed. Throws
// BadInput where a step does not exist, their order is not ascending, the images cannot be divided
// so, or share_noise says what the tree says already.
BranchSizes branch_sizes(const FinetuneConfig& config);

// The branches of all steps of so many images, whole trees: the transitions of the chain that are
// drawn, stored and trained on. A transition of its own for each image at each step: images x T.
int64_t transitions(const BranchSizes& sizes, int64_t images);

// Every size-th row: of images those that come first in their branches.
at::Tensor first_of_branch(const at::Tensor& images, int64_t size);  // [P, ...] -> [P / size, ...]
// Each branch's row for all of its images.  [B, ...] -> [B x size, ...]
at::Tensor of_images(const at::Tensor& branches, int64_t size);
// The sum over each branch's images.  [P, ...] -> [P / size, ...]
at::Tensor branch_sums(const at::Tensor& images, int64_t size);

// What a transition learns from, where it is a mean over images that a method's labels say: the
// mean of its images' labels, less the mean of this over the branches that parted from the same
// branch with it (itself among them). Branches that did not part from another one keep the mean as
// it is: what it is relative to is the method's choice. So without branches it is the labels.
// TreeGRPO (Ding and Ye 2025) backs up leaves' advantages to edges; in TreeRPO (Yang et al. 2025)
// the value of a branch is the mean of its parts', and siblings are the group that it is compared
// with.
//   labels: [P] fp64 of images, whole prompts; counted: [P] bool, false for an image that is no
//   part of a mean -> [P, T], equal for the images of a branch; 0 where none of them is counted
at::Tensor edge_advantages(const at::Tensor& labels,
                           const at::Tensor& counted,
                           const BranchSizes& sizes);

}  // namespace finetune
