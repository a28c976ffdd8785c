#include "tools/sample/guide.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "data/base/numbers.hpp"
#include "data/base/splitmix.hpp"
#include "diffusion/sampling/particles.hpp"
#include "diffusion/sampling/value_guidance.hpp"
#include "finetune/run/reward_gradient.hpp"
#include "tools/sample/best_of.hpp"

using data::BadInput;
using diffusion::ImageRequest;

namespace tools {
namespace {

constexpr int64_t kGradientChunk = 4;  // latents that are decoded with a graph at once
constexpr double kFirstRating = 0.2, kLastRating = 0.8;  // of the calls

// What --guide may hold: a name, its range, and where the value goes.
struct GuidePart {
  const char* name;
  const char* expected;
  double least, most;
  bool whole;
  void (*set)(Guide& guide, double value);
};
const std::vector<GuidePart>& guide_parts() {
  static const std::vector<GuidePart> parts = {
      {"particles", "a whole number from 2 to 256", 2, 256, true,
       [](Guide& guide, double value) { guide.particles = static_cast<int64_t>(value); }},
      {"gradient", "a number above 0, at most 10", 1e-6, 10, false,
       [](Guide& guide, double value) { guide.gradient = value; }},
  };
  return parts;
}

void read_part(const std::string& text, Guide& guide) {
  const size_t sign = text.find('=');
  const std::string name = text.substr(0, sign);
  std::string all;
  for (const auto& part : guide_parts()) {
    all += (all.empty() ? "" : ", ") + std::string(part.name) + "=N";
    if (name != part.name || sign == std::string::npos) continue;
    const auto value = data::number_of<double>(text.substr(sign + 1));
    if (!value || !(*value >= part.least && *value <= part.most) ||
        (part.whole && *value != std::floor(*value)))
      throw BadInput("--guide: " + name + ": expected " + part.expected + ", found '" +
                     text.substr(sign + 1) + "'");
    return part.set(guide, *value);
  }
  throw BadInput("--guide: expected " + all + ", found '" + text + "'");
}

// The calls at which particles are rated.
std::set<int64_t> rated_calls(int64_t calls, int64_t times) {
  std::set<int64_t> rated;
  for (int64_t i = 0; i < times; ++i) {
    const double place = times == 1 ? 0.5
                                    : kFirstRating + (kLastRating - kFirstRating) *
                                                         static_cast<double>(i) /
                                                         static_cast<double>(times - 1);
    rated.insert(std::min(calls - 1, std::lround(place * static_cast<double>(calls))));
  }
  return rated;
}

// The weighted reward of each x0.  -> [B]
std::vector<double> rate_latents(const GuideSetting& setting,
                                 const diffusion::Pipeline& pipeline,
                                 const at::Tensor& x0,
                                 const std::vector<std::string>& prompts) {
  const at::NoGradGuard no_grad;
  const at::Tensor images = diffusion::latents_to_images(pipeline.vae, x0.to(at::kFloat));
  const at::Tensor total = total_scores(setting.rewards, images.to(at::kFloat), prompts)
                               .total.to(at::kDouble)
                               .contiguous();
  return {total.data_ptr<double>(), total.data_ptr<double>() + total.numel()};
}

// In [0, 1), of an image's seed and a call.
double uniform_of(uint64_t seed, int64_t call) {
  const uint64_t bits =
      data::splitmix64(data::splitmix64(seed ^ 0x9a27) + static_cast<uint64_t>(call));
  return static_cast<double>(bits >> 11) * 0x1p-53;
}

// The images of a micro-batch, each with its particles.
struct Contest {
  const GuideSetting& setting;
  const diffusion::Pipeline& pipeline;
  std::vector<ImageRequest> batch;
  std::vector<diffusion::Particles> particles;  // of each image
  std::vector<nlohmann::ordered_json> records;  // the same
};

Contest make_contest(const GuideSetting& setting,
                     const diffusion::Pipeline& pipeline,
                     const std::vector<ImageRequest>& batch) {
  Contest contest{setting, pipeline, batch, {}, {}};
  const auto each = static_cast<size_t>(setting.guide.particles);
  TORCH_CHECK(batch.size() % each == 0, "guide: a micro-batch of ", batch.size(), " for ", each,
              " particles");
  for (size_t first = 0; first < batch.size(); first += each) {
    contest.particles.push_back(diffusion::make_particles(setting.guide.particles));
    contest.records.push_back({{"seed", batch[first].seed}, {"prompt", batch[first].prompt.text}});
  }
  return contest;
}

// One image's particles by what they are worth now. Without a strength each rating stands alone.
diffusion::Weighing weigh_image(Contest& contest,
                                size_t image,
                                const std::vector<double>& values,
                                int64_t call) {
  diffusion::Particles& particles = contest.particles[image];
  double strength = contest.setting.config.strength;
  if (strength == 0) {
    particles = diffusion::make_particles(contest.setting.guide.particles);
    strength = diffusion::strength_to_resample(values);
  }
  const uint64_t seed = contest.batch[image * values.size()].seed;
  return diffusion::weigh(particles, values, strength, uniform_of(seed, call));
}

// -> [B] int64 rows that go on
at::Tensor compete(Contest& contest, const diffusion::SamplerCallState& state) {
  std::vector<std::string> prompts;
  for (const auto& request : contest.batch) prompts.push_back(request.prompt.text);
  const auto values = rate_latents(contest.setting, contest.pipeline, state.x0, prompts);
  const auto each = static_cast<size_t>(contest.setting.guide.particles);
  std::vector<int64_t> rows;
  for (size_t image = 0; image < contest.particles.size(); ++image) {
    const auto begin = values.begin() + static_cast<std::ptrdiff_t>(image * each);
    const std::vector<double> own(begin, begin + static_cast<std::ptrdiff_t>(each));
    const diffusion::Weighing weighing = weigh_image(contest, image, own, state.call);
    nlohmann::ordered_json step{
        {"call", state.call}, {"values", own}, {"effective", weighing.effective}};
    if (weighing.rows) step["rows"] = *weighing.rows;
    contest.records[image]["ratings"].push_back(step);
    for (size_t i = 0; i < each; ++i) {
      const int64_t row = weighing.rows ? (*weighing.rows)[i] : static_cast<int64_t>(i);
      rows.push_back(static_cast<int64_t>(image * each) + row);
    }
  }
  return at::tensor(rows, at::kLong).to(state.x0.device());
}

void write_records(const Contest& contest) {
  const auto each = static_cast<size_t>(contest.setting.guide.particles);
  for (size_t image = 0; image < contest.records.size(); ++image) {
    const ImageRequest *first = &contest.batch[image * each], *second = first + 1;
    if (first->seed != second->seed)  // else copies that fill a micro-batch up
      data::append_line(contest.setting.log, data::to_text(contest.records[image]));
  }
}

diffusion::ValueGradient reward_slope(const GuideSetting& setting,
                                      const diffusion::Pipeline& pipeline,
                                      const std::vector<ImageRequest>& batch) {
  auto task = finetune::make_training_task(std::make_shared<diffusion::Pipeline>(pipeline));
  task.rewards = setting.rewards;
  std::vector<finetune::TrainingPrompt> prompts;
  for (const auto& request : batch) prompts.emplace_back(request.prompt.text);
  return [task, prompts](const at::Tensor& x0) {
    const at::AutoGradMode with_gradient(true);
    finetune::RewardGradientConfig config;
    config.reward_chunk = kGradientChunk;
    auto generator = at::detail::createCPUGenerator(0);  // no crop is drawn
    return -finetune::reward_gradient(task, config, x0.to(at::kFloat), prompts, generator).gradient;
  };
}

}  // namespace

void declare_guide(Options& options, GuideConfig& config) {
  options.text("guide", config.guide,
               "sample under --reward: particles=4 (copies compete), gradient=0.1 (share of the "
               "noise), or both with a comma");
  options.rare().number("guide_strength", config.strength,
                        "of particles: nats a unit of the reward; 0: what lets about half go on", 0,
                        1e9);
  options.rare().integer("guide_times", config.times, "how often particles are rated", 1, 1000);
}

Guide parse_guide(const std::string& text) {
  Guide guide;
  for (size_t begin = 0; begin <= text.size() && !text.empty();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    read_part(text.substr(begin, end - begin), guide);
    begin = end + 1;
  }
  return guide;
}

int64_t guided_batch(const Guide& guide, int64_t batch_size) {
  return std::max<int64_t>(1, batch_size / guide.particles) * guide.particles;
}

void check_guide(const GuideSetting& setting, const diffusion::SamplerOptions& sampler) {
  if (setting.rewards.empty())
    throw BadInput(
        "--guide: expected a --reward to follow, found none (see `laurel score --list`)");
  if (setting.guide.particles > 1 && !diffusion::draws_noise(sampler))
    throw BadInput(
        "--guide particles: expected a sampling method that draws noise, since copies of a "
        "particle would stay alike; add --eta 1 to DDIM, or take --sampling_method euler_a");
  if (setting.guide.gradient == 0) return;
  finetune::TrainingTask task;
  task.rewards = setting.rewards;
  finetune::check_differentiable(task, "leave gradient= out (particles=4 needs none)");
}

std::function<diffusion::BatchGuide(const std::vector<ImageRequest>& batch)> make_guide(
    const GuideSetting& setting, const diffusion::Pipeline& pipeline) {
  return [&setting, &pipeline](const std::vector<ImageRequest>& batch) {
    diffusion::BatchGuide guide;
    if (setting.guide.gradient > 0) {
      const auto slope = reward_slope(setting, pipeline, batch);
      const auto schedule = diffusion::make_schedule(pipeline.scheduler);
      guide.around = [slope, schedule,
                      share = setting.guide.gradient](const diffusion::Denoiser& denoiser) {
        return diffusion::value_guided(denoiser, schedule, slope, share);
      };
    }
    if (setting.guide.particles == 1) return guide;
    const auto contest = std::make_shared<Contest>(make_contest(setting, pipeline, batch));
    guide.select = [contest](const diffusion::SamplerCallState& state) {
      const auto rated = rated_calls(state.calls, contest->setting.config.times);
      if (rated.count(state.call) == 0) return at::Tensor();
      at::Tensor rows = compete(*contest, state);
      if (state.call == *rated.rbegin()) write_records(*contest);
      return rows;
    };
    return guide;
  };
}

}  // namespace tools
