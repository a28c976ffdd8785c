#include "diffusion/networks/unet/reward_conditioning.hpp"

#include <ATen/ATen.h>

#include "data/base/shape.hpp"
#include "data/device/transfer.hpp"
#include "diffusion/networks/layers/embedding.hpp"

namespace diffusion {
namespace {

constexpr double kGroupNormEps = 1e-6, kRewardNormEps = 1e-12;  // the released code's

// Each axis as a timestep, nothing where it is not asked for. -> [B, K, embedding_dim]
at::Tensor score_waves(const RewardBranchConfig& config,
                       const at::Tensor& scores,
                       const at::Tensor& valid) {
  const at::Tensor known = at::where(valid, scores, at::zeros_like(scores));
  const at::Tensor waves =
      timestep_embedding(known.flatten(), config.embedding_dim,
                         /*flip_sin_to_cos=*/true, /*freq_shift=*/0.0, config.max_period);
  return waves.view({scores.size(0), scores.size(1), -1}) *
         valid.to(waves.scalar_type()).unsqueeze(2);
}

struct RewardInputs {
  at::Tensor waves;  // [B, K embedding_dim]
  at::Tensor valid;  // [B, K] 0 or 1
  at::Tensor text;   // [B, text_dim]; zeros where there is none
};

RewardInputs inputs_of(const RewardBranchConfig& config,
                       const RewardCondition& reward,
                       int64_t batch,
                       const at::TensorOptions& options) {
  const RewardCondition all = completed(config, reward, batch);
  const at::Tensor valid = data::to_device(all.valid, options.device());
  return {
      score_waves(config, all.scores.to(options.dtype(at::kFloat)), valid).flatten(1).to(options),
      valid.to(options), all.text.to(options)};
}

}  // namespace

RewardCondition completed(const RewardBranchConfig& config,
                          const RewardCondition& reward,
                          int64_t batch) {
  const auto axes = static_cast<int64_t>(config.axes.size());
  const bool asked = reward.scores.defined();
  const RewardCondition all{
      asked ? reward.scores : at::zeros({batch, axes}),
      asked ? reward.valid : at::zeros({batch, axes}, at::kBool),
      reward.text.defined() ? reward.text : at::zeros({batch, config.text_dim})};
  data::check_shape(all.scores, {batch, axes}, "reward condition: scores");
  data::check_shape(all.valid, {batch, axes}, "reward condition: valid");
  data::check_shape(all.text, {batch, config.text_dim}, "reward condition: text");
  return all;
}

RewardCondition joined(const std::vector<RewardCondition>& conditions) {
  std::vector<at::Tensor> scores, valid, text;
  for (const auto& one : conditions) {
    scores.push_back(one.scores);
    valid.push_back(one.valid);
    text.push_back(one.text);
  }
  return {at::cat(scores), at::cat(valid), at::cat(text)};
}

RewardBranch build_reward_branch(const LayerSource& source,
                                 const RewardBranchConfig& config,
                                 const RewardSizes& sizes) {
  RewardBranch w;
  if (!reads_reward(config)) return w;
  const auto axes = static_cast<int64_t>(config.axes.size());
  const int64_t waves = axes * config.embedding_dim;
  if (config.layout == RewardLayout::kNative) {
    const int64_t in = waves + axes + config.text_dim;
    w.time_1 = source.linear("reward_embedding.linear_1", sizes.time_width, in, true);
    w.time_2 = source.linear("reward_embedding.linear_2", sizes.time_width, sizes.time_width, true);
    return w;
  }
  const int64_t c = sizes.width;
  const auto square = [&](const char* name) { return source.linear(name, c, c, true); };
  w.time_1 = source.linear("add_embedding.linear_1", sizes.time_width, waves, true);
  w.time_2 = source.linear("add_embedding.linear_2", sizes.time_width, sizes.time_width, true);
  w.text_time = source.linear("text_linear2", sizes.time_width, config.text_dim, true);
  w.token_1 = source.linear("add_embedding2.linear_1", c, waves, true);
  w.token_2 = square("add_embedding2.linear_2");
  w.text_token = source.linear("text_linear", c, config.text_dim, true);
  w.norm = source.norm("proj_deal.norm", c);
  w.proj_in = source.conv2d("proj_deal.proj_in", c, c, 1);
  w.q = square("ca.attention.self.query");
  w.k = square("ca.attention.self.key");
  w.v = square("ca.attention.self.value");
  w.out = square("ca.attention.output.dense");
  w.attention_norm = source.norm("ca.attention.output.LayerNorm", c);
  w.hidden = square("ca.hidden_intermediate.dense");
  w.output = square("ca.output.dense");
  w.output_norm = source.norm("ca.output.LayerNorm", c);
  w.proj_out = source.conv2d("proj_deal.proj_out", c, c, 1);
  return w;
}

void visit_layers(RewardBranch& w, const std::string& prefix, const LayerVisitor& visit) {
  if (!w.time_1.weight.defined()) return;
  const bool published = w.token_1.weight.defined();
  const std::string time = prefix + (published ? "add_embedding" : "reward_embedding");
  visit.linear(time + ".linear_1", w.time_1);
  visit.linear(time + ".linear_2", w.time_2);
  if (!published) return;
  visit.linear(prefix + "text_linear2", w.text_time);
  visit.linear(prefix + "add_embedding2.linear_1", w.token_1);
  visit.linear(prefix + "add_embedding2.linear_2", w.token_2);
  visit.linear(prefix + "text_linear", w.text_token);
  visit.norm(prefix + "proj_deal.norm", w.norm);
  visit.conv2d(prefix + "proj_deal.proj_in", w.proj_in);
  visit.linear(prefix + "ca.attention.self.query", w.q);
  visit.linear(prefix + "ca.attention.self.key", w.k);
  visit.linear(prefix + "ca.attention.self.value", w.v);
  visit.linear(prefix + "ca.attention.output.dense", w.out);
  visit.norm(prefix + "ca.attention.output.LayerNorm", w.attention_norm);
  visit.linear(prefix + "ca.hidden_intermediate.dense", w.hidden);
  visit.linear(prefix + "ca.output.dense", w.output);
  visit.norm(prefix + "ca.output.LayerNorm", w.output_norm);
  visit.conv2d(prefix + "proj_deal.proj_out", w.proj_out);
}

void zero_init_outputs(RewardBranch& w) {
  const auto zero = [](auto& layer) {
    if (!layer.weight.defined()) return;
    layer.weight = at::zeros_like(layer.weight);
    layer.bias = at::zeros_like(layer.bias);
  };
  zero(w.time_2);
  zero(w.text_time);
  zero(w.proj_out);
}

at::Tensor reward_time(const RewardBranch& w,
                       const RewardBranchConfig& config,
                       const RewardCondition& reward,
                       int64_t batch) {
  const RewardInputs in = inputs_of(config, reward, batch, w.time_1.weight.options());
  if (config.layout == RewardLayout::kNative)
    return embedding_mlp(w.time_1, w.time_2, at::cat({in.waves, in.valid, in.text}, 1));
  return embedding_mlp(w.time_1, w.time_2, in.waves) + nn::linear(w.text_time, in.text);
}

at::Tensor reward_attention(const RewardBranch& w,
                            const RewardBranchConfig& config,
                            const RewardCondition& reward,
                            const at::Tensor& h,
                            int64_t groups) {
  if (config.layout != RewardLayout::kPublished) return h;
  const RewardInputs in = inputs_of(config, reward, h.size(0), w.time_1.weight.options());
  const at::Tensor tokens = at::stack(
      {embedding_mlp(w.token_1, w.token_2, in.waves), nn::linear(w.text_token, in.text)}, 1);
  const at::Tensor normed = nn::group_norm(w.norm, h, groups, kGroupNormEps);
  const at::Tensor query =
      nn::conv2d(w.proj_in, normed, 1, 0).flatten(2).transpose(1, 2);  // [B, H W, C]
  const at::Tensor mixed = nn::attention(nn::linear(w.q, query), nn::linear(w.k, tokens),
                                         nn::linear(w.v, tokens), kRewardHeads, {});
  const at::Tensor a =
      nn::layer_norm(w.attention_norm, query + nn::linear(w.out, mixed), kRewardNormEps);
  const at::Tensor b = nn::layer_norm(
      w.output_norm, a + nn::linear(w.output, at::gelu(nn::linear(w.hidden, a))), kRewardNormEps);
  return h + nn::conv2d(w.proj_out, b.transpose(1, 2).reshape(h.sizes()), 1, 0);
}

}  // namespace diffusion
