#pragma once

// Samples of one image that compete under a reward: sequential Monte Carlo on the chain's states
// (Del Moral, Doucet, Jasra, "Sequential Monte Carlo samplers", 2006; on diffusion Singhal et al.,
// "A general framework for inference-time scaling and steering of diffusion models", 2025, and Kim
// et al., "Test-time alignment of diffusion models without reward over-optimization", 2025).

#include <cstdint>
#include <optional>
#include <vector>

namespace diffusion {

// Rows in [0, K) of the particles that go on, K of them.
using ParticleRows = std::vector<int64_t>;

// (sum w)^2 / sum w^2 of weights given by their logarithms, between 1 and their number.
double effective_sample_size(const std::vector<double>& log_weights);

// Systematic resampling: of each particle floor(K w) or ceil(K w) copies, w its share; K w on
// average over `uniform`, in [0, 1).
ParticleRows systematic_resample(const std::vector<double>& log_weights, double uniform);

// The K particles of an image. Their weights are carried from one weighing to the next, until they
// are resampled: so the ends are, weighted, draws from the chain's distribution times exp(strength
// value), whatever the values in between.
struct Particles {
  std::vector<double> log_weights;  // K, up to a constant
  std::vector<double> potentials;   // K: strength times the value at the last weighing
};
Particles make_particles(int64_t count);

// What a weighing led to.
struct Weighing {
  double effective = 0;                // sample size, before resampling
  std::optional<ParticleRows> rows{};  // which particles go on; none: all as they are
};
// Adds what strength times the value grew by to each log-weight. Where the effective sample size
// is at most (K + 1) / 2, the particles are resampled and weigh the same again. values: K, one that
// is not finite is the smallest. strength > 0: nats a unit. uniform in [0, 1)
Weighing weigh(Particles& particles,
               const std::vector<double>& values,
               double strength,
               double uniform);

// One of the values' places, drawn in proportion to exp(strength value); strength 0: that of the
// largest, the first of equals. Of candidates of a step: Li et al., "Derivative-free guidance in
// continuous and discrete diffusion models with soft value-based decoding" (2024), algorithm 1. A
// value that is not finite is the smallest. strength >= 0: nats a unit. uniform in [0, 1)
int64_t choose_candidate(const std::vector<double>& values, double strength, double uniform);

// The least strength at which weights exp(strength value) are resampled, for users who know no unit
// of their reward; 0 where the values do not differ.
double strength_to_resample(const std::vector<double>& values);

}  // namespace diffusion
