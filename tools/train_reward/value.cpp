// `laurel train-reward value`: chains of a sampler and what their ends earn -> the value of a noisy
// latent.

#include "tools/train_reward/value.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>
#include <cmath>
#include <iostream>
#include <nlohmann/json.hpp>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/format.hpp"
#include "data/base/json.hpp"
#include "data/base/strings.hpp"
#include "data/storage/folder_lock.hpp"
#include "data/storage/sha256.hpp"
#include "data/text/prompt_file.hpp"
#include "data/world/caption.hpp"
#include "rewards/combine/prompt_groups.hpp"
#include "rewards/value/explained.hpp"
#include "rewards/value/files.hpp"
#include "rewards/value/kept_chains.hpp"
#include "rewards/value/train.hpp"
#include "tools/cli/console/progress.hpp"
#include "tools/cli/device.hpp"
#include "tools/cli/latent_space.hpp"
#include "tools/cli/models.hpp"
#include "tools/cli/options.hpp"
#include "tools/cli/reward_options.hpp"
#include "tools/pretrain/options.hpp"
#include "tools/sample/sampler_choice.hpp"
#include "tools/train_reward/reward_folder.hpp"
#include "tools/train_reward/trajectories.hpp"

using data::BadInput;
using nlohmann::ordered_json;
namespace fs = std::filesystem;

namespace tools {
namespace {

constexpr int64_t kFewestPrompts = 4;  // two to learn from, two to measure

struct ValueCommand {
  ModelConfig checkpoint;
  std::string output, runs, trajectories, prompts, reward, sampling_method;
  int64_t max_prompts = 256, chains = 8, batch_size = 8, steps = 20, height = 0, width = 0;
  double held_out = 0.2, eta = 1, cfg_scale = 5;
  bool expected = false, uncentred = false;
  rewards::ValueTraining training;
  RewardSourceConfig sources;
  DeviceConfig device;
};

void declare_chains(Options& options, ValueCommand& c) {
  options.group("Chains");
  declare_model(options, c.checkpoint);
  options.text("prompts", c.prompts, "prompt file [captions of the built-in world]");
  options.integer("max_prompts", c.max_prompts, "drawn from them by the seed", 4, 1'000'000);
  options.number("held_out", c.held_out, "share of the prompts that are only measured", 0.01, 0.9);
  options.integer("chains", c.chains, "of a prompt", 2, 4096);
  options.integer("steps", c.steps, "sampling steps", 1, 1000);
  options.text("sampling_method", c.sampling_method, "as of laurel sample [the model's]");
  options.number("eta", c.eta, "noise of DDIM and TCD", 0, 1);
  options.number("cfg_scale", c.cfg_scale, "scale of guidance", 0, 100);
  options.rare().integer("height", c.height, "pixels; 0: the model's", 0, 8192);
  options.rare().integer("width", c.width, "pixels; 0: the model's", 0, 8192);
  options.integer("batch_size", c.batch_size, "images at once", 1, 4096);
  options.text("trajectories", c.trajectories, "folder of the chains [OUTPUT/trajectories]");
}

// Of the above, what --runs leaves nothing to say to.
const std::vector<std::string> kDrawnAlone = {
    "model",     "prompts", "max_prompts", "chains",     "steps",        "sampling_method", "eta",
    "cfg_scale", "height",  "width",       "batch_size", "trajectories", "expected"};

void declare(Options& options, ValueCommand& c) {
  options.text("output", c.output, "folder for the network and its report");
  options.short_name("output", 'o');
  options.text("reward", c.reward,
               "reward names, with weights: aesthetic=1,clip_score=0.1 [those of the runs]");
  options.text("runs", c.runs,
               "finetuning runs with --save_trajectories, comma-separated: nothing is drawn or "
               "rated, their chains are learnt from");
  declare_chains(options, c);
  options.group("Network");
  options.flag("expected", c.expected,
               "it reads the x0 that the sampler expects, too, which sampling computes anyway");
  options.rare().flag("uncentred", c.uncentred,
                      "learn the reward as it is, not its prompt's mean and the rest apart");
  auto& loop = c.training.loop;
  options.integer("max_train_steps", loop.max_train_steps, "updates", 1, 100'000'000);
  options.integer("train_batch_size", loop.train_batch_size, "states of an update", 2, 1'000'000);
  options.number("learning_rate", loop.learning_rate, "peak; falls to 0 as a cosine", 1e-9, 1);
  options.rare().number("weight_decay", loop.weight_decay, "of AdamW", 0, 10);
  options.integer("seed", loop.seed, "of the prompts, chains and batches", 0);
  declare_reward_sources(options, c.sources, Rarity::kRare);
  declare_device(options, c.device);
}

// All prompts in the order of the seed; the last ones are held out.
std::vector<std::string> value_prompts(const ValueCommand& c) {
  std::vector<std::string> all;
  if (!c.prompts.empty()) {
    for (const auto& line : data::read_prompts(c.prompts)) all.push_back(line.prompt);
  } else if (c.checkpoint.model.empty()) {
    all = world::all_captions(world::Split::kSeen);
  } else {
    throw BadInput("prompts: expected a prompt file for " + c.checkpoint.model +
                   ", found none; name one with --prompts");
  }
  auto generator = at::detail::createCPUGenerator(static_cast<uint64_t>(c.training.loop.seed));
  const at::Tensor order = at::randperm(static_cast<int64_t>(all.size()), generator);
  std::vector<std::string> chosen;
  for (int64_t i = 0; i < std::min(c.max_prompts, order.size(0)); ++i)
    chosen.push_back(all[static_cast<size_t>(order[i].item<int64_t>())]);
  if (chosen.size() < static_cast<size_t>(kFewestPrompts))
    throw BadInput(c.prompts + ": expected at least " + std::to_string(kFewestPrompts) +
                   " prompts, found " + std::to_string(chosen.size()));
  return chosen;
}

int64_t measured_prompts(const ValueCommand& c, size_t prompts) {
  const auto count = static_cast<double>(prompts);
  return std::clamp<int64_t>(std::lround(c.held_out * count), 2, std::lround(count) - 2);
}

// Everything that the network is trained and measured on.
struct ValueMaterial {
  rewards::ValueData training, held_out;
  // Of each held-out prompt: [n, T] the rewards of the expected pictures; empty: not known
  std::vector<at::Tensor> expected{};
};

ValueMaterial rated_chains(const ValueCommand& c,
                           const TrajectoryPlan& plan,
                           const TrajectoryRater& rater) {
  ValueMaterial material;
  const size_t all = plan.prompts.size(),
               training = all - static_cast<size_t>(measured_prompts(c, all));
  const at::Tensor text = text_means(rater.pipeline, {plan.prompts.begin(), plan.prompts.end()});
  Progress progress("Rating", static_cast<int64_t>(all), "prompt");
  for (size_t i = 0; i < all; ++i) {
    const bool held_out = i >= training;
    const rewards::ChainFile drawn = read_trajectories(c.trajectories, i);
    const TrajectoryRatings ratings = rate_trajectories(c.trajectories, plan, i, held_out, rater);
    (held_out ? material.held_out : material.training)
        .prompts.push_back({.latents = drawn.latents,
                            .expected = drawn.expected,
                            .rewards = ratings.rewards,
                            .text = text[static_cast<int64_t>(i)]});
    if (held_out) material.expected.push_back(ratings.expected);
    progress.advance();
  }
  material.training.timesteps = trajectory_timesteps(rater.pipeline, plan);
  material.held_out.timesteps = material.training.timesteps;
  material.training.digest = data::sha256(
      rater.identity + data::read_file(fs::path(c.trajectories) / "trajectories.json"));
  return material;
}

std::vector<fs::path> named_runs(const ValueCommand& c) {
  std::vector<fs::path> runs;
  for (const std::string& word : data::split(c.runs, ','))
    if (!word.empty()) runs.emplace_back(word);
  return runs;
}

// What runs have kept; a share of the prompts, with all of their chains, is held out.
ValueMaterial kept_chains(const ValueCommand& c, const rewards::KeptChains& kept) {
  const std::vector<int64_t> ids = rewards::ids_of_texts(kept.prompts);
  const int64_t count = ids.empty() ? 0 : 1 + *std::max_element(ids.begin(), ids.end());
  if (count < kFewestPrompts)
    throw BadInput("--runs " + c.runs + ": expected chains of at least " +
                   std::to_string(kFewestPrompts) + " prompts, found " + std::to_string(count) +
                   "; add runs, or keep more epochs (--save_trajectories)");
  auto generator = at::detail::createCPUGenerator(static_cast<uint64_t>(c.training.loop.seed));
  const at::Tensor place = at::randperm(count, generator);
  const int64_t training = count - measured_prompts(c, static_cast<size_t>(count));
  ValueMaterial material;
  for (size_t i = 0; i < ids.size(); ++i) {
    const bool held_out = place[ids[i]].item<int64_t>() >= training;
    (held_out ? material.held_out : material.training).prompts.push_back(kept.data.prompts[i]);
  }
  material.training.timesteps = material.held_out.timesteps = kept.data.timesteps;
  material.training.digest = kept.data.digest;
  return material;
}

std::string explained_text(const rewards::Interval& share) {
  return data::formatted("%.2f [%.2f, %.2f]", share.value, share.low, share.high);
}

// How much the network tells of held-out prompts' rewards, by step, and the expected pictures where
// they are known.
ordered_json measure_value(const rewards::ValueNetwork& network, const ValueMaterial& material) {
  std::vector<at::Tensor> values, rewards;
  std::vector<int64_t> ids;
  for (size_t p = 0; p < material.held_out.prompts.size(); ++p) {
    rewards.push_back(material.held_out.prompts[p].rewards);
    values.push_back(rewards::values_of(network, material.held_out, p));
    ids.insert(ids.end(), static_cast<size_t>(rewards.back().size(0)), static_cast<int64_t>(p));
  }
  const bool pictures = !material.expected.empty();
  const at::Tensor earned = at::cat(rewards), told = at::cat(values),
                   expected = pictures ? at::cat(material.expected) : at::Tensor();
  std::cout << "share of the reward's variance within held-out prompts that is known [95 %]:\n"
            << "  step  timestep  value" << (pictures ? "                 expected picture" : "")
            << "\n";
  ordered_json steps = ordered_json::array();
  for (int64_t k = 0; k < told.size(1); ++k) {
    const auto explained = [&](const at::Tensor& ratings) {
      return rewards::explained_within_prompts(ratings.select(1, k), earned, ids);
    };
    const auto value = explained(told);
    const double timestep = material.held_out.timesteps[static_cast<size_t>(k)];
    ordered_json step{{"step", k + 1}, {"timestep", timestep}, {"value", share_json(value)}};
    std::string line = data::formatted("  %4lld  %8.1f  %-20s", static_cast<long long>(k + 1),
                                       timestep, explained_text(value).c_str());
    if (pictures) {
      const auto picture = explained(expected);
      step["expected"] = share_json(picture);
      line += "  " + explained_text(picture);
    }
    steps.push_back(step);
    std::cout << line << "\n";
  }
  return steps;
}

TrajectoryPlan plan_of(ValueCommand& c, diffusion::Pipeline& pipeline) {
  const auto choice = resolve_sampler(c.sampling_method, "", c.eta, pipeline);
  TrajectoryPlan plan{
      .prompts = value_prompts(c), .chains = c.chains, .seed = c.training.loop.seed};
  plan.generate.sampler = {.sampler = choice.sampler, .steps = c.steps, .eta = c.eta};
  if (!diffusion::draws_noise(plan.generate.sampler))
    throw BadInput(
        "--eta: expected a sampling method that draws noise, since all of a chain is known from "
        "its start otherwise; add --eta 1 to DDIM, or take --sampling_method euler_a");
  plan.generate.guidance.scale = c.cfg_scale;
  plan.generate.height = c.height;
  plan.generate.width = c.width;
  plan.generate.micro_batch = c.batch_size;
  return plan;
}

std::string unit_of(const std::vector<rewards::WeightedReward>& all) {
  return all.size() == 1 && all[0].weight == 1 ? all[0].reward.info.unit : "";
}

// Trains the network that `config` describes, measures it, and writes it.
void learn_and_report(ValueCommand& c, rewards::ValueConfig config, const ValueMaterial& material) {
  rewards::measure_reward(material.training, config);
  auto& loop = c.training.loop;
  loop.output_dir = fs::path(c.output) / "training";
  if (fs::exists(loop.output_dir / "state.safetensors")) loop.resume_from_checkpoint = "latest";
  c.training.centre = !c.uncentred;
  const auto network =
      rewards::train_value(config, material.training, c.training,
                           [](const std::string& line) { std::cout << line << std::endl; });
  rewards::save_value_network(c.output, network);
  int64_t chains = 0;
  for (const auto& prompt : material.training.prompts) chains += prompt.rewards.size(0);
  const ordered_json report{{"kind", "value"},
                            {"reward", config.reward},
                            {"training_prompts", material.training.prompts.size()},
                            {"held_out_prompts", material.held_out.prompts.size()},
                            {"training_chains", chains},
                            {"mean", config.mean},
                            {"spread", config.spread},
                            {"explained", measure_value(network, material)}};
  data::write_file(fs::path(c.output) / "report.json", data::to_text(report, 2) + "\n");
}

void learn_from_drawn(ValueCommand& c) {
  const Placement placement = open_device(c.device);
  const PrecisionScope precision(placement);
  const data::FolderLock chains(c.trajectories);
  diffusion::Pipeline pipeline = open_model(c.checkpoint);
  move_to(pipeline, placement.device);
  const TrajectoryPlan plan = plan_of(c, pipeline);
  const auto sources = reward_sources(c.sources, placement.device);
  const auto rewards = rewards::make_rewards(c.reward, sources);
  {
    Progress progress("Drawing chains", static_cast<int64_t>(plan.prompts.size()), "prompt");
    draw_trajectories(c.trajectories, pipeline, plan, [&] { progress.advance(); });
  }
  const ValueMaterial material = rated_chains(
      c, plan, {pipeline, rewards, c.reward + "\n" + identity_of(sources), c.batch_size});
  learn_and_report(c,
                   {.space = latent_space_of(pipeline),
                    .text_width = material.training.prompts[0].text.size(0),
                    .reads_expected = c.expected,
                    .reward = c.reward,
                    .unit = unit_of(rewards)},
                   material);
}

void learn_from_runs(ValueCommand& c) {
  const rewards::KeptChains kept = rewards::read_kept_chains(named_runs(c), c.reward);
  learn_and_report(c, kept.config, kept_chains(c, kept));
}

// Throws BadInput for options that say how to draw chains beside runs that have drawn them.
void check_source(ValueCommand& c, const Options& options) {
  if (c.runs.empty() && c.reward.empty())
    throw BadInput("--reward: expected a reward to learn, found none (see `laurel score --list`)");
  if (c.trajectories.empty()) c.trajectories = (fs::path(c.output) / "trajectories").string();
  if (c.runs.empty()) return;
  for (const auto& key : kDrawnAlone) {
    if (options.given(key))
      throw BadInput("--" + key +
                     ": expected nothing of how chains are drawn beside --runs, whose " +
                     "chains are there, found it; leave it out");
  }
  if (named_runs(c).empty())
    throw BadInput("--runs " + c.runs + ": expected folders of finetuning runs, found none");
}

int train_value_command(const std::vector<std::string>& arguments) {
  ValueCommand c;
  Options options("train-reward value",
                  "Learns what a noisy latent's image will earn, from whole sampling chains.");
  declare(options, c);
  const auto parsed = options.parse(arguments);
  if (!parsed.proceed) return 0;
  if (!parsed.positional.empty())
    throw BadInput("laurel train-reward value: unexpected '" + parsed.positional[0] + "'");
  require_folder("train-reward value", "output", c.output);
  check_source(c, options);
  const data::FolderLock lock(c.output);
  c.runs.empty() ? learn_from_drawn(c) : learn_from_runs(c);
  data::write_file(fs::path(c.output) / "config.toml", options.resolved());
  std::cout << "wrote " << c.output << "; use it by laurel sample --guide_value " << c.output
            << "\n";
  return 0;
}

}  // namespace

const Command kTrainValue{"value", "what a noisy latent's image will earn, for guides and credit",
                          train_value_command};

}  // namespace tools
