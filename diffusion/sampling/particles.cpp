#include "diffusion/sampling/particles.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace diffusion {
namespace {

constexpr int kHalvings = 60;  // of the interval in which the strength is sought

// Weights that sum to 1.
std::vector<double> shares_of(const std::vector<double>& log_weights) {
  const double largest = *std::max_element(log_weights.begin(), log_weights.end());
  std::vector<double> shares;
  double sum = 0;
  for (const double value : log_weights) {
    shares.push_back(std::exp(value - largest));
    sum += shares.back();
  }
  for (double& share : shares) share /= sum;
  return shares;
}

double resampling_size(size_t count) { return (static_cast<double>(count) + 1) / 2; }

std::vector<double> finite_values(std::vector<double> values) {
  double least = std::numeric_limits<double>::infinity();
  for (const double value : values)
    if (std::isfinite(value)) least = std::min(least, value);
  for (double& value : values)
    if (!std::isfinite(value)) value = std::isfinite(least) ? least : 0;
  return values;
}

std::vector<double> scaled(std::vector<double> values, double factor) {
  for (double& value : values) value *= factor;
  return values;
}

}  // namespace

double effective_sample_size(const std::vector<double>& log_weights) {
  double squares = 0;
  for (const double share : shares_of(log_weights)) squares += share * share;
  return 1 / squares;
}

ParticleRows systematic_resample(const std::vector<double>& log_weights, double uniform) {
  const std::vector<double> shares = shares_of(log_weights);
  const double count = static_cast<double>(shares.size());
  ParticleRows rows;
  double reached = 0;
  for (size_t i = 0; i < shares.size(); ++i) {
    reached += shares[i];
    const bool last = i + 1 == shares.size();  // sums may round below 1
    while (rows.size() < shares.size() &&
           (last || (static_cast<double>(rows.size()) + uniform) / count < reached))
      rows.push_back(static_cast<int64_t>(i));
  }
  return rows;
}

Particles make_particles(int64_t count) {
  const std::vector<double> zeros(static_cast<size_t>(count), 0);
  return {zeros, zeros};
}

Weighing weigh(Particles& particles,
               const std::vector<double>& values,
               double strength,
               double uniform) {
  const std::vector<double> potentials = scaled(finite_values(values), strength);
  for (size_t i = 0; i < potentials.size(); ++i)
    particles.log_weights[i] += potentials[i] - particles.potentials[i];
  particles.potentials = potentials;
  Weighing weighing{.effective = effective_sample_size(particles.log_weights)};
  if (weighing.effective > resampling_size(potentials.size())) return weighing;
  weighing.rows = systematic_resample(particles.log_weights, uniform);
  for (size_t i = 0; i < potentials.size(); ++i)
    particles.potentials[i] = potentials[static_cast<size_t>((*weighing.rows)[i])];
  particles.log_weights.assign(potentials.size(), 0);
  return weighing;
}

int64_t choose_candidate(const std::vector<double>& values, double strength, double uniform) {
  const std::vector<double> finite = finite_values(values);
  if (strength == 0) return std::max_element(finite.begin(), finite.end()) - finite.begin();
  const std::vector<double> shares = shares_of(scaled(finite, strength));
  double reached = 0;
  for (size_t i = 0; i + 1 < shares.size(); ++i) {
    reached += shares[i];
    if (uniform < reached) return static_cast<int64_t>(i);
  }
  return static_cast<int64_t>(shares.size()) - 1;  // sums may round below 1
}

double strength_to_resample(const std::vector<double>& values) {
  const std::vector<double> finite = finite_values(values);
  const auto [least, most] = std::minmax_element(finite.begin(), finite.end());
  if (!(*most > *least)) return 0;
  const double wanted = resampling_size(values.size());
  double low = 0, high = 1 / (*most - *least);
  const auto effective = [&](double strength) {
    return effective_sample_size(scaled(finite, strength));
  };
  for (int i = 0; i < kHalvings && effective(high) > wanted; ++i) high *= 2;
  for (int i = 0; i < kHalvings; ++i) {
    const double middle = (low + high) / 2;
    (effective(middle) > wanted ? low : high) = middle;
  }
  return high;
}

}  // namespace diffusion
