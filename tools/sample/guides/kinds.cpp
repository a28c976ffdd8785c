#include "tools/sample/guides/kinds.hpp"

#include <algorithm>
#include <cmath>

#include "data/base/error.hpp"
#include "data/base/numbers.hpp"
#include "data/base/strings.hpp"
#include "tools/sample/guides/competition.hpp"
#include "tools/sample/guides/gradient.hpp"
#include "tools/sample/guides/noise_search.hpp"

using data::BadInput;

namespace tools {
namespace {

// "particles=4, per_step=4, ..."
std::string guide_examples() {
  std::string all;
  for (const GuideKind* kind : guide_kinds())
    all += (all.empty() ? "" : ", ") + std::string(kind->example);
  return all;
}

// "particles=4"
GuidePart parse_part(const std::string& text) {
  const size_t sign = text.find('=');
  const std::string name = text.substr(0, sign);
  for (const GuideKind* kind : guide_kinds()) {
    if (name != kind->name || sign == std::string::npos) continue;
    const auto value = data::number_of<double>(text.substr(sign + 1));
    if (value && *value >= kind->least && *value <= kind->most &&
        (!kind->whole || *value == std::floor(*value)))
      return {kind, *value};
    throw BadInput("--guide: " + name + ": expected " + kind->expected + ", found '" +
                   text.substr(sign + 1) + "'");
  }
  throw BadInput("--guide: expected some of " + guide_examples() + ", found '" + text + "'");
}

void add_part(const GuidePart& part, Guide& guide) {
  for (const GuidePart& other : guide) {
    if (other.kind == part.kind)
      throw BadInput(std::string("--guide: expected ") + part.kind->name + " once, found it twice");
    if (other.kind->has_candidates && part.kind->has_candidates)
      throw BadInput(std::string("--guide: expected ") + other.kind->name + " or " +
                     part.kind->name + ", found both; each says how samples of an image compete");
  }
  guide.push_back(part);
}

}  // namespace

const std::vector<const GuideKind*>& guide_kinds() {
  static const std::vector<const GuideKind*> kinds = {&kParticlesGuide, &kPerStepGuide,
                                                      &kNoiseGuide, &kGradientGuide};
  return kinds;
}

void declare_guide(Options& options, GuideConfig& config) {
  options.text("guide", config.guide,
               "sample under --reward: " + guide_examples() + "; a comma adds gradient to others");
  options.text("guide_value", config.value,
               "folder of laurel train-reward value: rates particles and per_step undecoded");
  options.rare().number("guide_strength", config.strength,
                        "nats a unit of the reward; 0: particles: what lets about half go on; "
                        "per_step: the best goes on",
                        0, 1e9);
  options.rare().integer("guide_times", config.times,
                         "how often particles are rated; as many as the steps: at each", 1, 1000);
  options.rare().integer("guide_round", config.round,
                         "of noise: samples before the best so far is chosen", 1, 256);
  options.rare().number("guide_radius", config.radius,
                        "of noise: distance from the best so far; 1: fresh noise always", 0.001, 1);
  options.rare().flag("guide_jacobian", config.jacobian,
                      "gradient goes back through the network too: three times its passes");
}

Guide parse_guide(const std::string& text) {
  Guide guide;
  for (const std::string& part : data::split(text, ',')) add_part(parse_part(part), guide);
  return guide;
}

double value_of(const Guide& guide, const GuideKind& kind) {
  for (const GuidePart& part : guide)
    if (part.kind == &kind) return part.value;
  return 0;
}

int64_t candidates_of(const Guide& guide) {
  for (const GuidePart& part : guide)
    if (part.kind->has_candidates) return static_cast<int64_t>(part.value);
  return 1;
}

int64_t guided_batch(const Guide& guide, int64_t batch_size) {
  for (const GuidePart& part : guide) {
    const auto each = static_cast<int64_t>(part.value);
    if (part.kind->side_by_side) return std::max<int64_t>(1, batch_size / each) * each;
  }
  return batch_size;
}

const GuideKind* search_of(const Guide& guide) {
  for (const GuidePart& part : guide)
    if (part.kind->search != nullptr) return part.kind;
  return nullptr;
}

int64_t round_of(const Guide& guide, const GuideConfig& config) {
  const int64_t all = candidates_of(guide);
  return search_of(guide) == nullptr ? all : std::min(config.round, all);
}

void resolve_candidates(const Guide& guide, int64_t& best_of) {
  const int64_t candidates = candidates_of(guide);
  if (candidates == 1) return;
  if (best_of > 1)
    throw BadInput("--best_of: the best of the guide's samples is written; leave it out");
  best_of = candidates;
}

void check_guide(const GuideSetting& setting, const diffusion::SamplerOptions& sampler) {
  if (setting.guide.empty()) return;
  if (setting.rewards.empty())
    throw BadInput(
        "--guide: expected a --reward to follow, found none (see `laurel score --list`)");
  for (const GuidePart& part : setting.guide)
    if (part.kind->check != nullptr) part.kind->check(setting, sampler);
}

}  // namespace tools
