#pragma once

// The student of a vision-language judge: a CLIP's embeddings of prompt and image, four small
// networks on them, and for each axis that the judge scores a distribution over five bins.

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <filesystem>
#include <string>
#include <vector>

#include "data/nn/layers.hpp"
#include "data/weights/tensor_map.hpp"
#include "rewards/judge/judgements.hpp"

namespace rewards {

struct LvlmConfig {
  std::vector<std::string> axes;  // K: "alignment", "quality", "overall"
  int64_t embedding = 512;        // P, of the CLIP
  int64_t hidden = 512;
  int64_t members = 4;
  // What the student does not see: "prompt" or "image" make the baselines that tell what a score
  // rests on.
  std::string blind_to = "";
  std::string clip_digest = "";  // of the CLIP's weights that it was trained on
  double kappa = 1;              // deviations between members that the score is lowered by
};

struct LvlmMember {
  nn::Linear trunk0, trunk1;      // [hidden, 4 P + 1], [hidden, hidden]
  std::vector<nn::Linear> heads;  // K of [5, hidden]
};
struct LvlmStudent {
  LvlmConfig config;
  nn::Norm norm;  // fuse.ln, over 4 P + 1
  std::vector<LvlmMember> members;
  at::Tensor gain;         // [K] of a pair: P(a better) = sigmoid(gain (mean_a - mean_b)), >= 1
  at::Tensor temperature;  // [K] divides the logits; fitted on held-out judgements
};

LvlmStudent make_lvlm(const LvlmConfig& config, at::Generator& generator);
void for_each_tensor(LvlmStudent& w, const std::string& prefix, const data::TensorVisitor& visit);

// With u = sqrt(P) image and v = sqrt(P) text, [u, v, u v, |u - v|, u'v / sqrt(P)]: not linear in
// the image, and of one size, so that the layer norm behind it lets no part drown another. image,
// text: [B, P] unit norm -> [B, 4 P + 1]
at::Tensor lvlm_features(const LvlmConfig& config, const at::Tensor& image, const at::Tensor& text);

// -> [M, B, K, 5]; `dropout`: null, or where the masks of training (probability 0.1) are drawn
// from.
at::Tensor lvlm_logits(const LvlmStudent& w, const at::Tensor& features, at::Generator* dropout);

// The bins' centres 0, 1/4, .., 1 -> [5] in the dtype and on the device of `like`
at::Tensor bin_centres(const at::Tensor& like);
// Of the centres under probabilities of the bins, [.., 5] -> [..]. The variance has a floor.
struct LvlmMoments {
  at::Tensor mean, variance;
};
LvlmMoments bin_moments(const at::Tensor& q);
// Under softmax(logits / temperature) -> [M, B, K]
LvlmMoments lvlm_moments(const at::Tensor& logits, const at::Tensor& temperature);

// Over the members: mean, what each of them leaves open, what they disagree about.
struct LvlmScores {
  at::Tensor mean, aleatoric, epistemic;  // [B, K]; the last two are variances
  at::Tensor score;  // [B]: mean over axes and members - kappa deviations of the members' means
};
LvlmScores lvlm_scores(const LvlmStudent& w, const at::Tensor& image, const at::Tensor& text);

// P(N(difference, variance) > 0): of being the better one. Elementwise.
at::Tensor better_probability(const at::Tensor& difference, const at::Tensor& variance);
// P(a better) = Phi((m_a - m_b) / sqrt(v_a + v_b + e_a + e_b)) on each axis: one minus itself
// (to rounding) when a and b change places. -> [B, K]
at::Tensor lvlm_preference(const LvlmScores& a, const LvlmScores& b);

// A folder with model.safetensors and reward.json. Throws BadInput for files that do not fit.
LvlmStudent load_lvlm(const std::filesystem::path& folder);
void save_lvlm(const std::filesystem::path& folder, const LvlmStudent& w, at::ScalarType dtype);

// SHA-256 of the CLIP's weights, as LvlmConfig::clip_digest.
std::string clip_digest(const std::filesystem::path& folder);

}  // namespace rewards
