#pragma once

// What tells one forward-process method from another. Such a method learns from clean latents:
// noise is added to them as in pretraining, and the loss depends on the network through squared
// errors of its output alone. Any sampler may have drawn the images; no step has to have a
// probability.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace finetune {

// Sums over the D dimensions of a latent, in the network's own target space: of epsilon where it
// predicts epsilon, of v where it predicts v, where the error is that of epsilon divided by
// signal^2.
using Scalars = std::vector<at::Tensor>;  // each [R, S] fp64: of R rows and S draws of noise

// b noised latents.
struct NetworkOutputs {
  at::Tensor now;       // [b, C, h, w] of the network in training
  at::Tensor compared;  // of the one that the method compares it with; undefined: none
  at::Tensor target;    // what the output should be
};
// |a - b|^2. -> [b] fp64
at::Tensor squared_error(const at::Tensor& a, const at::Tensor& b);

// Images of one prompt, by their places among the rows.
struct RankedPair {
  int64_t a = 0, b = 0;
  double p = 1;       // the probability that a is preferred
  double weight = 1;  // > 0
  double margin = 0;  // >= 0: logits, added to the method's own
};

// What R rows are trained towards.
struct ForwardLabels {
  std::vector<int64_t> rows;      // R, of the images rated or read
  at::Tensor values;              // [R] fp64; of the methods that learn from images one by one
  at::Tensor weights;             // [R] fp64 > 0 of a row; undefined: all 1
  std::vector<RankedPair> pairs;  // of the methods that learn from pairs
};

// P images that were drawn and rated.
struct RatedImages {
  at::Tensor rewards;               // [P] fp64, combined; not finite: the image is left out
  std::vector<int64_t> prompt_ids;  // P
  std::vector<uint64_t> seeds;      // P, distinct: they decide between equal rewards
  double scale = 1;                 // > 0: the rewards' spread within a prompt at the start
};

// The images of each prompt whose finite rewards are not all equal: from others nothing can be
// learnt. In order of first appearance. Throws c10::Error where the members differ in length.
std::vector<std::vector<int64_t>> differing_groups(const RatedImages& images);

// Labels of all images of those groups: `value` of a group's rewards, [n] fp64 -> [n].
ForwardLabels labels_by_group(const RatedImages& images,
                              const std::function<at::Tensor(const at::Tensor& group)>& value);

struct ForwardInput {
  Scalars now;          // of ForwardMethod::scalars, detached
  at::Tensor compared;  // [R, S] fp64, the error of the compared network; undefined: none
  at::Tensor x0_scale;  // [R, S] fp64: an error of x0 is so many times that of the output
  ForwardLabels labels;
  int64_t dimensions = 1;  // D
};
struct ForwardGradient {
  Scalars weights;     // d loss / d now
  at::Tensor figures;  // [F] fp64, of ForwardMethod::figures
};

struct ForwardMethod {
  std::string name;     // of `laurel finetune NAME` and run.json
  std::string summary;  // one line

  // The network's counterpart: the starting model, or an average of the network over epochs, which
  // then also draws the images.
  bool compares_with_start = false, compares_with_average = false;
  // The average's decay after epoch n, min(rate n, most).
  double average_decay_rate = 0, average_decay_most = 0;

  // True: one call of `objective` sees all rows of an update, on the CPU, and the images of a pair
  // or a prompt share their noise. Such a method has one scalar, which needs no compared output.
  // False: the loss is the mean over rows and draws of independent entries. `objective` sees some
  // of them as [b, 1], on the network's device, without pairs; weights and figures are those of the
  // sum over its entries.
  bool couples_rows = false;
  bool learns_from_pairs = false;    // else from values
  bool learns_from_choices = false;  // people's choices will do in place of rewards
  // Images of a prompt, the best of all epochs, among which `labels` chooses beside an epoch's own.
  int64_t remembers = 0;

  std::vector<std::string> figures;  // names in the metrics
  // The differentiable scalars, [b] fp64 each.
  std::function<Scalars(const NetworkOutputs& outputs)> scalars;
  // Which images of an epoch are trained on, and towards what.
  std::function<ForwardLabels(const RatedImages& images)> labels;
  std::function<ForwardGradient(const ForwardInput& input)> objective;
};

}  // namespace finetune
