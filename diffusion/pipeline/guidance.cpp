#include "diffusion/pipeline/guidance.hpp"

#include <ATen/ATen.h>

#include "data/base/shape.hpp"
#include "data/device/transfer.hpp"

namespace diffusion {
namespace {

std::vector<at::Tensor> parts_of(const at::Tensor& output, int64_t parts, const char* what) {
  TORCH_CHECK(output.dim() == 4 && output.size(0) % parts == 0, what, ": output must be [", parts,
              " B, C, H, W], got ", data::shape_text(output.sizes()));
  return output.chunk(parts);
}

// The standard deviation of each row. x: [B, C, H, W] -> [B, 1, 1, 1]
at::Tensor spread(const at::Tensor& x) { return x.flatten(1).std(1).view({-1, 1, 1, 1}); }

}  // namespace

TextCondition to_device(const TextCondition& text, at::Device device) {
  return {data::to_device(text.hidden, device),
          text.pooled.defined() ? data::to_device(text.pooled, device) : text.pooled};
}

at::Tensor time_ids(const SizeConditions& sizes, int64_t height, int64_t width) {
  const auto or_own = [](int64_t asked, int64_t own) {
    return static_cast<float>(asked > 0 ? asked : own);
  };
  return at::tensor({or_own(sizes.original_height, height), or_own(sizes.original_width, width),
                     static_cast<float>(sizes.crop_top), static_cast<float>(sizes.crop_left),
                     or_own(sizes.target_height, height), or_own(sizes.target_width, width)})
      .view({1, kTimeIds});
}

GuidanceBatch guidance_batch(const UNetConfig& unet, const GuidanceOptions& options) {
  const bool reward = reads_reward(unet.reward) && options.reward_scale != 1;
  const GuidanceBatch plain = reward ? GuidanceBatch::kPromptReward : GuidanceBatch::kPrompt;
  if (unet.time_cond_proj_dim > 0 || options.scale <= 1) return plain;
  if (!reads_image(unet)) return GuidanceBatch::kUnconditionalPrompt;
  if (options.image_scale < 1) return plain;
  return reward ? GuidanceBatch::kPromptImageNoneReward : GuidanceBatch::kPromptImageNone;
}

int64_t branch_count(GuidanceBatch branches) {
  switch (branches) {
    case GuidanceBatch::kPrompt:
      return 1;
    case GuidanceBatch::kUnconditionalPrompt:
    case GuidanceBatch::kPromptReward:
      return 2;
    case GuidanceBatch::kPromptImageNone:
      return 3;
    case GuidanceBatch::kPromptImageNoneReward:
      break;
  }
  return 4;
}

at::Tensor branch_rows(GuidanceBatch branches, const at::Tensor& text, const at::Tensor& negative) {
  if (branches == GuidanceBatch::kPrompt) return text;
  if (branches == GuidanceBatch::kPromptReward) return at::cat({text, text});
  TORCH_CHECK(negative.defined() && negative.sizes() == text.sizes(),
              "branch_rows: text and negative of different shapes");
  if (branches == GuidanceBatch::kUnconditionalPrompt) return at::cat({negative, text});
  return branches == GuidanceBatch::kPromptImageNone ? at::cat({text, negative, negative})
                                                     : at::cat({text, negative, negative, text});
}

at::Tensor branch_images(GuidanceBatch branches, const at::Tensor& source) {
  if (branches == GuidanceBatch::kPrompt) return source;
  if (branches == GuidanceBatch::kPromptReward) return at::cat({source, source});
  const at::Tensor nothing = at::zeros_like(source);
  return branches == GuidanceBatch::kPromptImageNone ? at::cat({source, source, nothing})
                                                     : at::cat({source, source, nothing, source});
}

RewardCondition branch_rewards(GuidanceBatch branches,
                               const RewardCondition& reward,
                               const RewardCondition& low) {
  const bool guided =
      branches == GuidanceBatch::kPromptReward || branches == GuidanceBatch::kPromptImageNoneReward;
  std::vector<RewardCondition> rows(static_cast<size_t>(branch_count(branches)), reward);
  if (guided) rows.back() = low;
  return joined(rows);
}

at::Tensor guided_forward(const UNet& unet,
                          const at::Tensor& x,
                          const at::Tensor& t,
                          const BranchInputs& inputs,
                          const GuidanceOptions& options) {
  const int64_t count = branch_count(inputs.branches);
  at::Tensor input =
      count == 1 ? x : at::cat(std::vector<at::Tensor>(static_cast<size_t>(count), x));
  if (inputs.image_latents.defined()) input = at::cat({input, inputs.image_latents}, 1);
  const at::Tensor output = unet_forward(unet, input, t, inputs.keys, inputs.added).to(at::kFloat);
  if (inputs.branches == GuidanceBatch::kPrompt) return output;
  const auto parts = output.chunk(count);
  const bool uncond = inputs.branches == GuidanceBatch::kUnconditionalPrompt;
  at::Tensor guided = uncond      ? guide(output, options.scale)
                      : count > 2 ? guide_edit(output.narrow(0, 0, 3 * x.size(0)), options.scale,
                                               options.image_scale)
                                  : parts[0];
  if (!uncond && count != 3) guided = guided + reward_push(output, count, options.reward_scale);
  if (options.rescale <= 0) return guided;
  return rescaled(guided, parts[uncond ? 1 : 0], options.rescale);
}

at::Tensor reward_push(const at::Tensor& output, int64_t branches, double reward_scale) {
  const auto parts = parts_of(output, branches, "reward_push");
  return (reward_scale - 1) * (parts.front() - parts.back());
}

at::Tensor guide(const at::Tensor& output, double weight) {
  const auto halves = parts_of(output, 2, "guide");
  return halves[0] + weight * (halves[1] - halves[0]);
}

at::Tensor guide_edit(const at::Tensor& output, double scale, double image_scale) {
  const auto thirds = parts_of(output, 3, "guide_edit");
  return thirds[2] + scale * (thirds[0] - thirds[1]) + image_scale * (thirds[1] - thirds[2]);
}

at::Tensor rescaled(const at::Tensor& guided, const at::Tensor& text, double amount) {
  TORCH_CHECK(guided.dim() == 4 && guided.sizes() == text.sizes(),
              "rescaled: guided and text must be [B, C, H, W] alike");
  return guided * (amount * (spread(text) / spread(guided)) + (1 - amount));
}

}  // namespace diffusion
