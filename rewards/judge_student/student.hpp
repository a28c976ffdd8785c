#pragma once

// The student of a vision-language judge: an ensemble of small networks on a CLIP's embeddings of
// prompt and image. For each axis that the judge scores they predict a distribution over five bins.

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "data/nn/layers.hpp"
#include "data/weights/tensor_map.hpp"
#include "rewards/judge/judgements.hpp"

namespace rewards {

struct StudentConfig {
  std::vector<std::string> axes;  // K: "alignment", "quality", "overall"
  int64_t embedding = 512;        // P, of the CLIP
  int64_t hidden = 512;
  int64_t members = 4;
  // What the student does not see: "prompt" or "image" make baselines that show what a score
  // depends on.
  std::string blind_to = "";
  std::string clip_digest = "";  // of the weights of the CLIP that it was trained on
  double kappa = 1;              // the score is lowered by kappa deviations between members
};

struct StudentMember {
  nn::Linear trunk0, trunk1;      // [hidden, 4 P + 1], [hidden, hidden]
  std::vector<nn::Linear> heads;  // K of [5, hidden]
};
struct JudgeStudent {
  StudentConfig config;
  nn::Norm norm;  // fuse.ln, over 4 P + 1
  std::vector<StudentMember> members;
  at::Tensor gain;         // [K] of a pair: P(a better) = sigmoid(gain (mean_a - mean_b)), >= 1
  at::Tensor temperature;  // [K] divides the logits; fitted on held-out judgements
};

JudgeStudent make_student(const StudentConfig& config, at::Generator& generator);
void for_each_tensor(JudgeStudent& w, const std::string& prefix, const data::TensorVisitor& visit);

// With u = sqrt(P) image and v = sqrt(P) text, [u, v, u v, |u - v|, u'v / sqrt(P)]: not linear in
// the image; all parts have comparable norms, so LayerNorm does not suppress any. image, text: [B,
// P] unit norm -> [B, 4 P + 1]
at::Tensor student_features(const StudentConfig& config,
                            const at::Tensor& image,
                            const at::Tensor& text);

// -> [M, B, K, 5]. `dropout`: null, or the generator of the dropout masks (probability 0.1).
at::Tensor student_logits(const JudgeStudent& w,
                          const at::Tensor& features,
                          at::Generator* dropout);

// The bins' centres 0, 1/4, .., 1 -> [5] in the dtype and on the device of `like`
at::Tensor bin_centres(const at::Tensor& like);
// Mean and variance of the bins' centres under probabilities, [.., 5] -> [..]. The variance has a
// floor.
struct ScoreMoments {
  at::Tensor mean, variance;
};
ScoreMoments bin_moments(const at::Tensor& q);
// The moments under softmax(logits / temperature) -> [M, B, K]
ScoreMoments student_moments(const at::Tensor& logits, const at::Tensor& temperature);

// Over the members: mean, mean variance of a member, variance between the members.
struct StudentScores {
  at::Tensor mean, aleatoric, epistemic;  // [B, K]; the last two are variances
  at::Tensor score;  // [B]: mean over axes and members - kappa deviations of the members' means
};
StudentScores student_scores(const JudgeStudent& w,
                             const at::Tensor& image,
                             const at::Tensor& text);

// P(N(difference, variance) > 0), the probability of being better. Elementwise.
at::Tensor better_probability(const at::Tensor& difference, const at::Tensor& variance);
// P(a better) = Phi((m_a - m_b) / sqrt(v_a + v_b + e_a + e_b)) on each axis. -> [B, K]
at::Tensor student_preference(const StudentScores& a, const StudentScores& b);

}  // namespace rewards
