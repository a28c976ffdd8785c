#include "tools/sample/guides/competition.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "data/base/splitmix.hpp"
#include "diffusion/sampling/particles.hpp"
#include "tools/sample/guides/rating.hpp"
#include "tools/sample/guides/value.hpp"

using diffusion::ImageRequest;

namespace tools {
namespace {

constexpr double kFirstRating = 0.2, kLastRating = 0.8;  // of the calls

// The images of a micro-batch, each with its particles.
struct GuideContest {
  BatchLead lead;
  int64_t each = 1;                               // samples of an image
  std::vector<diffusion::Particles> particles{};  // of each image
  std::vector<double> ratios{};  // of each sample: log_ratio of its steps since its last rating
  std::vector<nlohmann::ordered_json> records{};  // the same
  // For a value network: [B, D], and the state that is rated.
  at::Tensor text{};
  std::shared_ptr<SeenStates> seen = std::make_shared<SeenStates>();
};

// How the samples of an image compete: at which calls, and which of them go on.
struct ContestRules {
  std::set<int64_t> (*calls)(int64_t all, const GuideConfig& config);
  diffusion::Weighing (*weigh)(GuideContest& contest,
                               size_t image,
                               const std::vector<double>& values,
                               double uniform);
};

// In [0, 1), of an image's seed and a call.
double uniform_of(uint64_t seed, int64_t call) {
  const uint64_t bits =
      data::splitmix64(data::splitmix64(seed ^ 0x9a27) + static_cast<uint64_t>(call));
  return static_cast<double>(bits >> 11) * 0x1p-53;
}

// --- particles

std::set<int64_t> every_call(int64_t all, const GuideConfig&) {
  std::set<int64_t> rated;
  for (int64_t call = 0; call < all; ++call) rated.insert(call);
  return rated;
}

std::set<int64_t> particle_calls(int64_t all, const GuideConfig& config) {
  if (config.times >= all) return every_call(all, config);
  std::set<int64_t> rated;
  for (int64_t i = 0; i < config.times; ++i) {
    const double place =
        config.times == 1 ? 0.5
                          : kFirstRating + (kLastRating - kFirstRating) * static_cast<double>(i) /
                                               static_cast<double>(config.times - 1);
    rated.insert(std::min(all - 1, std::lround(place * static_cast<double>(all))));
  }
  return rated;
}

// Without a strength each rating stands alone.
diffusion::Weighing weigh_particles(GuideContest& contest,
                                    size_t image,
                                    const std::vector<double>& values,
                                    double uniform) {
  diffusion::Particles& particles = contest.particles[image];
  double strength = contest.lead.setting.config.strength;
  if (strength == 0) {
    particles = diffusion::make_particles(contest.each);
    strength = diffusion::strength_to_resample(values);
  } else {
    for (size_t i = 0; i < values.size(); ++i)
      particles.log_weights[i] += std::exchange(contest.ratios[image * values.size() + i], 0);
  }
  return diffusion::weigh(particles, values, strength, uniform);
}

// --- per step

diffusion::Weighing choose_one(GuideContest& contest,
                               size_t,
                               const std::vector<double>& values,
                               double uniform) {
  const int64_t chosen =
      diffusion::choose_candidate(values, contest.lead.setting.config.strength, uniform);
  return {.effective = 1, .rows = diffusion::ParticleRows(values.size(), chosen)};
}

// --- both

GuideContest make_contest(const BatchLead& lead, int64_t each) {
  TORCH_CHECK(static_cast<int64_t>(lead.batch.size()) % each == 0, "guide: a micro-batch of ",
              lead.batch.size(), " for ", each, " samples of an image");
  GuideContest contest{.lead = lead, .each = each};
  contest.ratios.assign(lead.batch.size(), 0);
  for (size_t first = 0; first < lead.batch.size(); first += static_cast<size_t>(each)) {
    contest.particles.push_back(diffusion::make_particles(each));
    contest.records.push_back(
        {{"seed", lead.batch[first].seed}, {"prompt", lead.batch[first].prompt.text}});
    if (lead.setting.value) contest.records.back()["value"] = guide_value_text(lead.setting);
  }
  if (lead.setting.value) contest.text = value_texts(lead.pipeline, lead.batch);
  return contest;
}

// What the steps' moves by a gradient have done to the weights.
void add_ratios(GuideContest& contest, const at::Tensor& ratios) {
  if (!ratios.defined()) return;
  const at::Tensor known = ratios.cpu().to(at::kDouble).contiguous();
  for (size_t i = 0; i < contest.ratios.size(); ++i)
    contest.ratios[i] += known.data_ptr<double>()[i];
}

// What each sample is worth there: the value of its state, or of the picture that it is expected to
// become.
std::vector<double> values_at(const GuideContest& contest,
                              const diffusion::SamplerCallState& state) {
  const GuideSetting& setting = contest.lead.setting;
  if (setting.value) return rate_states(*setting.value, *contest.seen, state.x0, contest.text);
  return rate_latents(setting.rewards, contest.lead.pipeline, state.x0,
                      captions_of(contest.lead.batch));
}

// -> [B] int64 rows that go on
at::Tensor compete(GuideContest& contest,
                   const ContestRules& rules,
                   const diffusion::SamplerCallState& state) {
  const auto values = values_at(contest, state);
  std::vector<int64_t> rows;
  for (size_t image = 0; image < contest.particles.size(); ++image) {
    const int64_t first = static_cast<int64_t>(image) * contest.each;
    const std::vector<double> own(values.begin() + first, values.begin() + first + contest.each);
    const double uniform =
        uniform_of(contest.lead.batch[static_cast<size_t>(first)].seed, state.call);
    const diffusion::Weighing weighing = rules.weigh(contest, image, own, uniform);
    nlohmann::ordered_json step{
        {"call", state.call}, {"values", own}, {"effective", weighing.effective}};
    if (weighing.rows) step["rows"] = *weighing.rows;
    contest.records[image]["ratings"].push_back(step);
    for (int64_t i = 0; i < contest.each; ++i)
      rows.push_back(first + (weighing.rows ? (*weighing.rows)[static_cast<size_t>(i)] : i));
  }
  return at::tensor(rows, at::kLong).to(state.x0.device());
}

void write_records(const GuideContest& contest) {
  const auto each = static_cast<size_t>(contest.each);
  for (size_t image = 0; image < contest.records.size(); ++image) {
    const ImageRequest *first = &contest.lead.batch[image * each], *second = first + 1;
    if (first->seed != second->seed &&
        !contest.lead.setting.log.empty())  // else copies that fill up
      data::append_line(contest.lead.setting.log, data::to_text(contest.records[image]));
  }
}

void lead_contest(const BatchLead& lead,
                  const ContestRules& rules,
                  int64_t each,
                  diffusion::BatchGuide& guide) {
  const auto contest = std::make_shared<GuideContest>(make_contest(lead, each));
  if (lead.setting.value) {
    guide.around = [inner = guide.around, seen = contest->seen](const diffusion::Denoiser& own) {
      return recorded(inner ? inner(own) : own, seen);
    };
  }
  guide.select = [contest, rules](const diffusion::SamplerCallState& state) {
    const auto rated = rules.calls(state.calls, contest->lead.setting.config);
    add_ratios(*contest, state.log_ratio);
    if (rated.count(state.call) == 0) return at::Tensor();
    at::Tensor rows = compete(*contest, rules, state);
    if (state.call == *rated.rbegin()) write_records(*contest);
    return rows;
  };
}

void lead_particles(const BatchLead& lead, double value, diffusion::BatchGuide& guide) {
  lead_contest(lead, {particle_calls, weigh_particles}, static_cast<int64_t>(value), guide);
}

void lead_per_step(const BatchLead& lead, double value, diffusion::BatchGuide& guide) {
  lead_contest(lead, {every_call, choose_one}, static_cast<int64_t>(value), guide);
}

void check_noise(const GuideSetting&, const diffusion::SamplerOptions& sampler) {
  if (diffusion::draws_noise(sampler)) return;
  throw data::BadInput(
      "--guide particles, per_step: expected a sampling method that draws noise, since copies of a "
      "sample would stay alike; add --eta 1 to DDIM, take --sampling_method euler_a, or --guide "
      "noise=8");
}

using Lead = void(const BatchLead&, double, diffusion::BatchGuide&);

constexpr GuideKind competition(const char* name, const char* example, Lead* lead) {
  return {.name = name,
          .example = example,
          .expected = "a whole number from 2 to 256",
          .least = 2,
          .most = 256,
          .whole = true,
          .has_candidates = true,
          .side_by_side = true,
          .rates_states = true,
          .check = check_noise,
          .lead = lead};
}

}  // namespace

const GuideKind kParticlesGuide = competition("particles", "particles=4", lead_particles);
const GuideKind kPerStepGuide = competition("per_step", "per_step=4", lead_per_step);

}  // namespace tools
