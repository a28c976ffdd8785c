#pragma once

// Methods that learn from preferences. With e the denoising error of an image under the network,
// e_ref under the starting model, b = beta,
//   q_i = -(b / 2) (e_i - e_ref_i),  z = q_a - q_b of a pair,  p the probability that a is
//   preferred dpo     -p log sig(z - g) - (1 - p) log sig(-z - g), g the margin: Wallace, Dang,
//   Rafailov,
//           Zhou, Lou, Purushwalkam, Ermon, Xiong, Joty, Naik, "Diffusion model alignment using
//           direct preference optimization" (2024), eq. 14, with soft labels
//   ipo     p (z - c)^2 + (1 - p) (z + c)^2, c = 1 / (2 tau): Azar et al., "A general theoretical
//           paradigm to understand learning from human preferences" (2024), eq. 17
//   kto     p w [1 - sig(q - z0)] + (1 - p) v [1 - sig(z0 - q)] of each image, w and v the weights
//   of
//           what is desired and what is not, z0 = max(0, mean of q over the update), which has no
//           gradient: Ethayarajh et al. (2024), eq. 8, as Li et al., "Aligning diffusion models by
//           optimizing human utility" (2024)
//   simpo   dpo without e_ref and with a margin: Meng, Xia, Chen (2024). The length that it divides
//           by is the same for all latents.
// e is a sum over the D dimensions of a latent. Published betas are for means: theirs is D times
// ours, 5000 at D = 16384 (Stable Diffusion at 512 pixels) is 0.305.
//
// The most preferred of a deterministic reward as the label, p = 1, has no finite optimum. Labels
// from rewards are therefore soft: p = sig((r_a - r_b) / temperature).

#include "finetune/forward/methods/method.hpp"

namespace finetune {

struct PreferenceConfig {
  double beta = 0.3;          // > 0, a unit of squared error
  bool reference = true;      // e_ref is subtracted
  bool logit_of_mean = true;  // z of the mean over the draws, else the loss is the mean over them
  double temperature = 1;     // > 0, in spreads of the reward within a prompt at the start
};

// Of pairs, elementwise. z: [n, S'] logits; p: [n, 1] fp64; margin: [n, 1] fp64 >= 0, by which the
// preferred image's logit is to lead: Amini, Vieira, Cotterell, "Direct preference optimization
// with an offset" (2024). ipo's c is the margin
struct PairTerms {
  at::Tensor loss, slope;  // [n, S'], slope: d loss / d z
};
PairTerms logistic_terms(const at::Tensor& z, const at::Tensor& p, const at::Tensor& margin);
PairTerms squared_terms(const at::Tensor& z, const at::Tensor& p, const at::Tensor& margin);

using PairLoss =
    std::function<PairTerms(const at::Tensor& z, const at::Tensor& p, const at::Tensor& margin)>;
// The mean over pairs (and draws), by the pairs' weights. A pair's margin is `least_margin` and its
// own. figures: loss; error and its start of the preferred and of the other images, means over D,
// pairs with p = 1/2 aside; the share of pairs whose z has the preferred sign.
ForwardGradient pair_gradient(const ForwardInput& input,
                              const PreferenceConfig& config,
                              const PairLoss& loss,
                              double least_margin = 0);

struct KtoConfig : PreferenceConfig {
  double desirable_weight = 1, undesirable_weight = 1;
};
// The mean over images, by their weights; labels.values: p. figures as above, without a share.
ForwardGradient kto_gradient(const ForwardInput& input, const KtoConfig& config);

// All pairs within each prompt, with soft labels: equal rewards make p = 1/2, not a winner.
ForwardLabels ranked_pairs(const RatedImages& images, double temperature);
// Each image against its prompt's mean.
ForwardLabels desirable_images(const RatedImages& images, double temperature);

struct DpoConfig : PreferenceConfig {
  double margin = 0;  // logits
};
ForwardMethod dpo_method(const DpoConfig& config = {});
struct IpoConfig : PreferenceConfig {
  double tau = 1;  // > 0
};
ForwardMethod ipo_method(const IpoConfig& config = {});
ForwardMethod kto_method(const KtoConfig& config = {});
DpoConfig simpo_config();  // its defaults
ForwardMethod simpo_method(const DpoConfig& config = simpo_config());

// Names of figures: means over D.
inline constexpr const char *kErrorPreferred = "error_preferred",
                            *kErrorPreferredStart = "error_preferred_start";

}  // namespace finetune
