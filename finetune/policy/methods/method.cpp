#include "finetune/policy/methods/method.hpp"

#include <c10/util/Exception.h>

#include <cmath>

namespace finetune {

double beta_for_kl(double spread, double target_kl) {
  TORCH_CHECK(target_kl > 0, "beta_for_kl: target_kl must be > 0, got ", target_kl);
  return spread / std::sqrt(2.0 * target_kl);
}

double kl_for_beta(double spread, double beta) { return spread * spread / (2 * beta * beta); }

double beta_of(const CalibrationInput& input) {
  return input.beta > 0 ? input.beta : beta_for_kl(input.spread, input.target_kl);
}

}  // namespace finetune
