#include "rewards/judge_student/student.hpp"

#include <ATen/ATen.h>

#include <cmath>

#include "data/base/shape.hpp"

namespace rewards {
namespace {

constexpr double kDropout = 0.1;
constexpr double kSmallVariance = 1e-4;  // floor of the variance of a distribution over bins

at::Tensor dropped(const at::Tensor& x, at::Generator* generator) {
  if (!generator) return x;
  return x * at::empty_like(x).bernoulli_(1 - kDropout, *generator) / (1 - kDropout);
}

}  // namespace

JudgeStudent make_student(const StudentConfig& config, at::Generator& generator) {
  const int64_t width = 4 * config.embedding + 1;
  const auto axes = static_cast<int64_t>(config.axes.size());
  JudgeStudent w{.config = config,
                 .norm = nn::make_norm(width),
                 .members = {},
                 .gain = at::full({axes}, 5.0, at::kFloat),
                 .temperature = at::ones({axes}, at::kFloat)};
  for (int64_t m = 0; m < config.members; ++m) {
    StudentMember member{.trunk0 = nn::make_linear(config.hidden, width, true, generator),
                         .trunk1 = nn::make_linear(config.hidden, config.hidden, true, generator),
                         .heads = {}};
    for (int64_t k = 0; k < axes; ++k)
      member.heads.push_back(
          nn::make_linear(static_cast<int64_t>(kBins), config.hidden, true, generator));
    w.members.push_back(member);
  }
  return w;
}

void for_each_tensor(JudgeStudent& w, const std::string& prefix, const data::TensorVisitor& visit) {
  nn::for_each_tensor(w.norm, prefix + "fuse.ln", visit);
  for (size_t m = 0; m < w.members.size(); ++m) {
    StudentMember& member = w.members[m];
    const std::string number = std::to_string(m);
    nn::for_each_tensor(member.trunk0, prefix + "trunk." + number + ".0", visit);
    nn::for_each_tensor(member.trunk1, prefix + "trunk." + number + ".1", visit);
    for (size_t k = 0; k < member.heads.size(); ++k)
      nn::for_each_tensor(member.heads[k], prefix + "head." + number + "." + w.config.axes[k],
                          visit);
  }
  visit(prefix + "calib.gain", w.gain);
  visit(prefix + "calib.temp", w.temperature);
}

at::Tensor student_features(const StudentConfig& config,
                            const at::Tensor& image,
                            const at::Tensor& text) {
  data::check_shape(image, {-1, config.embedding}, "student_features: image");
  data::check_shape(text, {image.size(0), config.embedding}, "student_features: text");
  const at::Tensor i = config.blind_to == "image" ? at::zeros_like(image) : image;
  const at::Tensor t = config.blind_to == "prompt" ? at::zeros_like(text) : text;
  const double root = std::sqrt(static_cast<double>(config.embedding));
  const at::Tensor u = root * i, v = root * t;  // entries of about unit size
  return at::cat({u, v, u * v, (u - v).abs(), (u * v).sum(1, /*keepdim=*/true) / root}, 1);
}

at::Tensor student_logits(const JudgeStudent& w,
                          const at::Tensor& features,
                          at::Generator* dropout) {
  const at::Tensor normed = nn::layer_norm(w.norm, features, 1e-5);
  std::vector<at::Tensor> members;
  for (const StudentMember& member : w.members) {
    const at::Tensor first = dropped(at::gelu(nn::linear(member.trunk0, normed)), dropout);
    const at::Tensor second = dropped(at::gelu(nn::linear(member.trunk1, first)), dropout);
    std::vector<at::Tensor> axes;
    for (const nn::Linear& head : member.heads) axes.push_back(nn::linear(head, second));
    members.push_back(at::stack(axes, 1));
  }
  return at::stack(members);
}

at::Tensor bin_centres(const at::Tensor& like) {
  return at::linspace(0, 1, static_cast<int64_t>(kBins), like.options());
}

ScoreMoments bin_moments(const at::Tensor& q) {
  const at::Tensor v = bin_centres(q), mean = (q * v).sum(-1);
  return {.mean = mean,
          .variance = (q * (v - mean.unsqueeze(-1)).square()).sum(-1) + kSmallVariance};
}

ScoreMoments student_moments(const at::Tensor& logits, const at::Tensor& temperature) {
  return bin_moments((logits / temperature.unsqueeze(1)).softmax(-1));
}

StudentScores student_scores(const JudgeStudent& w,
                             const at::Tensor& image,
                             const at::Tensor& text) {
  const at::Tensor logits = student_logits(w, student_features(w.config, image, text), nullptr);
  const ScoreMoments moments = student_moments(logits, w.temperature);
  const bool several = w.members.size() > 1;
  const at::Tensor overall = moments.mean.mean(2);  // [M, B]
  StudentScores scores{.mean = moments.mean.mean(0),
                       .aleatoric = moments.variance.mean(0),
                       .epistemic = moments.mean.var(0, /*unbiased=*/several),
                       .score = overall.mean(0)};
  if (several && w.config.kappa != 0) {  // the epsilon bounds the root's slope where all agree
    const at::Tensor spread = (overall.var(0, /*unbiased=*/true) + 1e-8).sqrt();
    scores.score = scores.score - w.config.kappa * spread;
  }
  return scores;
}

at::Tensor better_probability(const at::Tensor& difference, const at::Tensor& variance) {
  return 0.5 * (1 + (difference / (2 * variance).sqrt()).erf());
}

at::Tensor student_preference(const StudentScores& a, const StudentScores& b) {
  return better_probability(a.mean - b.mean,
                            (a.aleatoric + a.epistemic) + (b.aleatoric + b.epistemic));
}

}  // namespace rewards
