#include "diffusion/pipeline/guidance.hpp"

#include <ATen/ATen.h>

#include <map>

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

// The source images' latents in every branch: zeros in the branch without one.
at::Tensor branch_images(GuidanceBatch branches, const at::Tensor& source) {
  if (branches == GuidanceBatch::kPrompt) return source;
  if (branches == GuidanceBatch::kPromptReward) return at::cat({source, source});
  const at::Tensor nothing = at::zeros_like(source);
  return branches == GuidanceBatch::kPromptImageNone ? at::cat({source, source, nothing})
                                                     : at::cat({source, source, nothing, source});
}

// The requested reward in every branch but that of the low one.
RewardCondition branch_rewards(GuidanceBatch branches,
                               const RewardCondition& reward,
                               const RewardCondition& low) {
  const bool guided =
      branches == GuidanceBatch::kPromptReward || branches == GuidanceBatch::kPromptImageNoneReward;
  std::vector<RewardCondition> rows(static_cast<size_t>(branch_count(branches)), reward);
  if (guided) rows.back() = low;
  return joined(rows);
}

// The text of every row.
void add_texts(const Network& network, const Conditioning& conditioning, BranchInputs& inputs) {
  const TextCondition &text = conditioning.text, &negative = conditioning.negative;
  inputs.text = prepare_text(network, branch_rows(inputs.branches, text.hidden, negative.hidden));
  if (text.pooled.defined())
    inputs.extra.text_embeds = branch_rows(inputs.branches, text.pooled, negative.pooled);
}

// Distinct values in the order of their first appearance, and the place of each row's among them.
struct Distinct {
  std::vector<int64_t> values, places;
};
Distinct distinct(const std::vector<int64_t>& rows) {
  Distinct result;
  std::map<int64_t, int64_t> known;
  for (const int64_t row : rows) {
    const auto [found, added] = known.emplace(row, static_cast<int64_t>(result.values.size()));
    if (added) result.values.push_back(row);
    result.places.push_back(found->second);
  }
  return result;
}

// The text of `rows`: a table of the distinct ones, the negative one first where it is used, and
// each row's place in it.
void add_shared_texts(const Network& network,
                      const Conditioning& conditioning,
                      const std::vector<int64_t>& rows,
                      BranchInputs& inputs) {
  const bool guided = inputs.branches != GuidanceBatch::kPrompt;
  const auto [values, places] = distinct(rows);
  const TextCondition &text = conditioning.text, &negative = conditioning.negative;
  const at::Device device = text.hidden.device();
  const auto table = [&, ids = data::to_device(values, device)](const at::Tensor& all,
                                                                const at::Tensor& first) {
    const at::Tensor some = all.index_select(0, ids);
    return guided ? at::cat({first, some}) : some;
  };
  at::Tensor place = at::tensor(places, at::kLong);
  if (guided) place = branch_rows(inputs.branches, place + 1, at::zeros_like(place));
  place = data::to_device(place, device);
  inputs.text = select_rows(prepare_text(network, table(text.hidden, negative.hidden)), place);
  if (text.pooled.defined())
    inputs.extra.text_embeds = table(text.pooled, negative.pooled).index_select(0, place);
}

}  // namespace

GuidanceBatch guidance_batch(const NetworkTraits& network, const GuidanceOptions& options) {
  const bool reward = network.reads_reward && options.reward_scale != 1;
  const GuidanceBatch plain = reward ? GuidanceBatch::kPromptReward : GuidanceBatch::kPrompt;
  if (network.guidance_width > 0 || options.scale <= 1) return plain;
  if (!network.edits_images) return GuidanceBatch::kUnconditionalPrompt;
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

Conditioning with_guidance_input(const Network& network,
                                 const Conditioning& conditioning,
                                 const GuidanceOptions& options) {
  Conditioning result = conditioning;
  const at::Tensor& hidden = conditioning.text.hidden;
  if (traits(network).guidance_width > 0)
    result.guidance_w = at::full({hidden.size(0)}, options.scale - 1, hidden.options());
  return result;
}

BranchInputs branch_inputs(const Network& network,
                           const Conditioning& conditioning,
                           GuidanceBatch branches,
                           const std::vector<int64_t>& rows) {
  const int64_t count = branch_count(branches), texts = conditioning.text.hidden.size(0),
                batch = count * (rows.empty() ? texts : static_cast<int64_t>(rows.size()));
  const auto chosen = [&](const at::Tensor& all) {
    return rows.empty() ? all : all.index_select(0, data::to_device(rows, all.device()));
  };
  const NetworkTraits reads = traits(network);
  BranchInputs inputs{.branches = branches, .text = {}, .extra = {}, .image_latents = {}};
  if (rows.empty())
    add_texts(network, conditioning, inputs);
  else
    add_shared_texts(network, conditioning, rows, inputs);
  const at::Tensor& sizes = conditioning.time_ids;
  if (sizes.defined())
    inputs.extra.time_ids =
        sizes.size(0) == 1 ? sizes.expand({batch, kTimeIds}) : chosen(sizes).repeat({count, 1});
  if (reads.guidance_width > 0) {
    const at::Tensor& hidden = conditioning.text.hidden;
    const at::Tensor w = data::to_device(chosen(conditioning.guidance_w), hidden.device());
    inputs.extra.timestep_cond =
        guidance_embedding(w.repeat({count}), reads.guidance_width).to(hidden.scalar_type());
  }
  if (conditioning.image_latents.defined())
    inputs.image_latents = branch_images(branches, chosen(conditioning.image_latents));
  if (!reads.reads_reward) return inputs;
  const auto request = [&](const RewardCondition& reward) {
    const RewardCondition all = completed(reward_config(network), reward, texts);
    return RewardCondition{chosen(all.scores), chosen(all.valid), chosen(all.text)};
  };
  inputs.extra.reward =
      branch_rewards(branches, request(conditioning.reward), request(conditioning.reward_low));
  return inputs;
}

at::Tensor branch_outputs(const Network& network,
                          const at::Tensor& x,
                          const at::Tensor& t,
                          const BranchInputs& inputs) {
  const auto count = static_cast<size_t>(branch_count(inputs.branches));
  at::Tensor input = count == 1 ? x : at::cat(std::vector<at::Tensor>(count, x));
  if (inputs.image_latents.defined()) input = at::cat({input, inputs.image_latents}, 1);
  return forward(network, input, t, inputs.text, inputs.extra);
}

at::Tensor guided_forward(const Network& network,
                          const at::Tensor& x,
                          const at::Tensor& t,
                          const BranchInputs& inputs,
                          const GuidanceOptions& options) {
  const at::Tensor output = branch_outputs(network, x, t, inputs).to(at::kFloat);
  if (inputs.branches == GuidanceBatch::kPrompt) return output;
  const int64_t count = branch_count(inputs.branches);
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

Denoiser guided_denoiser(const Network& network,
                         const Conditioning& conditioning,
                         const GuidanceOptions& options,
                         const GraphCapture& capture) {
  const GuidanceBatch branches = guidance_batch(traits(network), options);
  const int64_t rows = branch_count(branches) * conditioning.text.hidden.size(0);
  const BranchInputs inputs =
      branch_inputs(network, with_guidance_input(network, conditioning, options), branches);
  const TensorFunction predict = with_graph_replay(
      [network, inputs, options](const std::vector<at::Tensor>& in) {
        return guided_forward(network, in[0], in[1], inputs, options);
      },
      capture);
  return [predict, rows](const at::Tensor& x, double timestep) {
    return predict({x, at::full({rows}, timestep, x.options().dtype(at::kFloat))});
  };
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
