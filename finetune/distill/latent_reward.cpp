#include "finetune/distill/latent_reward.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <charconv>
#include <cmath>

#include "data/base/error.hpp"
#include "data/base/numbers.hpp"

namespace finetune {
namespace {

constexpr int64_t kProjection = 64, kFeatures = 4 * nn::kLatentTowerWidth;
constexpr const char* kLatentRewardFile = "latent_reward.safetensors";

at::Tensor unit(const at::Tensor& x) { return x / x.norm(2, {1}, true).clamp_min(1e-6); }

// Differences of all pairs i < j: [B (B - 1) / 2]
at::Tensor pairs_of(const at::Tensor& x) {
  const at::Tensor places = at::triu_indices(x.size(0), x.size(0), 1).to(x.device());
  return x.index_select(0, places[0]) - x.index_select(0, places[1]);
}

// The scorer with weights that carry no gradient.
LatentScorer frozen(const LatentScorer& w) {
  LatentScorer copy = w;
  for_each_tensor(copy, "",
                  [](const std::string&, at::Tensor& tensor) { tensor = tensor.detach(); });
  return copy;
}

}  // namespace

LatentScorer make_latent_scorer(int64_t latent_channels,
                                int64_t text_width,
                                at::Generator& generator) {
  LatentScorer w;
  w.tower = nn::make_latent_tower(latent_channels, generator);
  w.image_projection = nn::make_linear(kProjection, kFeatures, true, generator);
  w.text_projection = nn::make_linear(kProjection, text_width, true, generator);
  w.alone = nn::make_linear(1, kFeatures, true, generator);
  w.logit_scale = at::zeros({}, at::kFloat);
  return w;
}

void for_each_tensor(LatentScorer& w, const std::string& prefix, const data::TensorVisitor& visit) {
  for_each_tensor(w.tower, prefix, visit);
  for_each_tensor(w.image_projection, prefix + "image_projection", visit);
  for_each_tensor(w.text_projection, prefix + "text_projection", visit);
  for_each_tensor(w.alone, prefix + "alone", visit);
  visit(prefix + "logit_scale", w.logit_scale);
}

at::Tensor latent_score(const LatentScorer& w,
                        const at::Tensor& latents,
                        const at::Tensor& hidden) {
  const at::Tensor features = nn::latent_features(w.tower, latents);
  const at::Tensor image = unit(nn::linear(w.image_projection, features));
  const at::Tensor text = unit(nn::linear(w.text_projection, hidden.mean({1})));
  return w.logit_scale.exp() * (image * text).sum(1) + nn::linear(w.alone, features).squeeze(1);
}

at::Tensor pair_softmax_kl(const at::Tensor& expert, const at::Tensor& score) {
  TORCH_CHECK(expert.dim() == 1 && expert.sizes() == score.sizes() && expert.size(0) >= 2,
              "pair_softmax_kl: two values or more of each, as many of both");
  const at::Tensor p = pairs_of(expert), q = pairs_of(score);
  // A softmax over two is a logistic function of their difference.
  const auto part = [&](double sign) {
    return at::sigmoid(sign * p) * (at::log_sigmoid(sign * p) - at::log_sigmoid(sign * q));
  };
  return (part(1) + part(-1)).mean();
}

LatentReward make_latent_reward(int64_t latent_channels,
                                int64_t text_width,
                                at::Device device,
                                int64_t seed) {
  auto generator = at::detail::createCPUGenerator(static_cast<uint64_t>(seed) + 2);
  LatentReward reward;
  reward.scorer = make_latent_scorer(latent_channels, text_width, generator);
  for_each_tensor(reward.scorer, "",
                  [&](const std::string&, at::Tensor& tensor) { tensor = tensor.to(device); });
  reward.state.params = train::parameters_of(reward.scorer, "");
  reward.state.adamw = train::make_adamw(reward.state.params);
  reward.state.ema = train::make_ema(reward.state.params, 0);
  reward.state.generator = generator;
  return reward;
}

LatentGradient latent_gradient(const LatentReward& reward,
                               const at::Tensor& latents,
                               const at::Tensor& hidden) {
  const at::Tensor leaf = latents.detach().requires_grad_(true);
  const at::Tensor score = latent_score(frozen(reward.scorer), leaf, hidden);
  (-reward.spread * score.mean()).backward();
  return {leaf.grad(), score.mean().item<double>()};
}

LatentUpdate update_latent_reward(LatentReward& reward,
                                  const at::Tensor& latents,
                                  const at::Tensor& hidden,
                                  const at::Tensor& expert,
                                  double learning_rate) {
  const at::Tensor rows = expert.isfinite().nonzero().squeeze(1).to(latents.device());
  if (rows.size(0) < 2) return {};
  const at::Tensor values = expert.to(latents.device(), at::kFloat).index_select(0, rows);  // [B']
  if (reward.spread == 0) reward.spread = std::max(values.std(false).item<double>(), 1e-6);
  const at::Tensor score = latent_score(reward.scorer, latents.detach().index_select(0, rows),
                                        hidden.detach().index_select(0, rows));
  const at::Tensor kl = pair_softmax_kl(values / reward.spread, score);
  kl.backward();
  LatentUpdate result;
  result.kl = kl.item<double>();
  result.accuracy =
      (pairs_of(values) * pairs_of(score.detach())).gt(0).to(at::kFloat).mean().item<double>();
  if (std::isfinite(train::grad_norm(reward.state.params))) {
    train::clip_grad_norm(reward.state.params, 1.0);
    train::adamw_step(reward.state.params, reward.state.adamw, {.weight_decay = 0.01},
                      learning_rate);
    ++reward.updates;
  }
  train::zero_grad(reward.state.params);
  return result;
}

void save_latent_reward(const std::filesystem::path& folder, LatentReward& reward) {
  char buffer[32];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, reward.spread).ptr;
  reward.state.metadata = {{"spread", std::string(buffer, end)},
                           {"updates", std::to_string(reward.updates)}};
  train::save_state(folder / kLatentRewardFile, reward.state);
}

void load_latent_reward(const std::filesystem::path& folder, LatentReward& reward) {
  train::load_state(folder / kLatentRewardFile, reward.state);
  const std::string where = (folder / kLatentRewardFile).string();
  reward.spread = data::noted_number<double>(reward.state.metadata, "spread", where);
  reward.updates = data::noted_number<int64_t>(reward.state.metadata, "updates", where);
}

}  // namespace finetune
