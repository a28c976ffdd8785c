#pragma once

// "kl<=20" among a run's constraints: a bound on the KL from the starting model, kept by the
// method's KL coefficient, which follows the KL from epoch to epoch.

#include <optional>
#include <string>

#include "finetune/policy/config.hpp"

namespace finetune {

// The 20 of "kl<=20" among constraints, > 0 in nats of a trajectory. None where nothing is said of
// "kl"; throws BadInput for another form, and for two bounds.
std::optional<double> parse_kl_bound(const std::string& constraints);

// How many times its start the KL coefficient is after an epoch whose KL was `kl` nats:
// max(1, factor exp(rate e)), e = clip(kl / bound - 1, -1, 1). It is a multiplier that ascends in
// its logarithm: Ziegler et al., "Fine-tuning language models from human preferences" (2019),
// section 2.2, where e is clipped at 0.2 and a factor has no floor; that of an inequality has one,
// as in Moskovitz et al. (2023), rewards/combine/limits.hpp. factor >= 1; bound > 0; rate >= 0
double stepped_kl_factor(double factor, double kl, double bound, double rate);

// The method as it keeps the bound, with a KL coefficient; where there is no bound as it is. Throws
// BadInput where the method has no KL coefficient, and where images are drawn once: their KL is
// that of the start.
PolicyMethod method_with_kl_bound(const PolicyMethod& method, const FinetuneConfig& config);

// Throws BadInput where the configuration of `method`, which is no policy method, has a bound: its
// epochs do not measure the KL.
void refuse_kl_bound(const TrainingConfig& config, const std::string& method);

}  // namespace finetune
