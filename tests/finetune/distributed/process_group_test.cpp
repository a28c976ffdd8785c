// One run in several processes: the same as in one.

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <functional>
#include <iostream>

#include "finetune/policy/trainer.hpp"
#include "finetune/task/trained_parameters.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/rank_processes.hpp"
#include "tests/support/refusal.hpp"
#include "tests/support/tiny/distill_task.hpp"
#include "tests/support/tiny/run.hpp"
#include "tools/cli/run_in_ranks.hpp"

namespace {

namespace fs = std::filesystem;
using finetune::FinetuneConfig;
using finetune::ProcessGroup;
using tests::metrics;

finetune::TrainingTask ranks_task() {
  finetune::TrainingTask task = tests::tiny_task();
  task.config_text = "learning_rate = 0.01\nnum_epochs = 4\n";
  return task;
}

void run_here(const ProcessGroup& ranks,
              const FinetuneConfig& config,
              const fs::path& folder,
              const std::string& resume = "") {
  auto options = tests::run_options(folder, config.method.name, config.seed, resume);
  options.ranks = ranks;
  finetune::run_finetune(ranks_task(), config, options, {});
}

// A rank's part of a test. Most of a rank's time goes into its start: let it do several runs.
void act_as_rank(const std::function<void(const ProcessGroup&)>& part) {
  const int code = tools::in_ranks("", {60, 40}, [&](const ProcessGroup& ranks) {
    part(ranks);
    return 0;
  });
  EXPECT_EQ(code, 0);
}

// The same run as `run_here`, with the other ranks.
void run_as_rank(const FinetuneConfig& config, const std::string& resume = "") {
  act_as_rank([&](const ProcessGroup& ranks) {
    run_here(ranks, config, tests::rank_folder() / "run", resume);
  });
}

// The part of the ranks, in `count` processes.
void expect_run(int count, const fs::path& folder, const tests::Variables& more = {}) {
  const auto codes = tests::wait_for(tests::start_ranks(count, folder, more), 240);
  EXPECT_EQ(codes, std::vector<int>(static_cast<size_t>(count), 0)) << tests::logs_of(folder);
}

void expect_near(const fs::path& a,
                 const fs::path& b,
                 const std::vector<std::string>& names,
                 double relative = 1e-4) {
  const auto first = metrics(a, false), second = metrics(b, false);
  ASSERT_EQ(first.size(), second.size());
  for (size_t i = 0; i < first.size(); ++i) {
    for (const auto& name : names) {
      EXPECT_EQ(second[i].contains(name), first[i].contains(name)) << name;
      if (!first[i].contains(name)) continue;
      const double expected = first[i][name].get<double>();
      EXPECT_NEAR(second[i][name].get<double>(), expected, relative * std::abs(expected) + 1e-7)
          << name << " of line " << i;
    }
  }
}

void expect_close(const fs::path& a, const fs::path& b, double most) {
  const auto first = data::read_safetensors(a), second = data::read_safetensors(b);
  ASSERT_EQ(first.tensors.size(), second.tensors.size());
  for (const auto& [name, tensor] : first.tensors) {
    const at::Tensor other = second.tensors.at(name).to(at::kDouble);
    EXPECT_LE((other - tensor.to(at::kDouble)).abs().max().item<double>(), most) << name;
  }
}

FinetuneConfig config_named(const std::string& name) {
  FinetuneConfig config = tests::tiny_config();
  if (name == "several updates") {
    config.num_inner_epochs = 2;
    config.prompts_per_update = 1;
    config.timestep_fraction = 0.5;
    config.ema_decay = 0.9;
  }
  for (const auto& method : finetune::policy_methods()) {
    if (method.name == name) config.method = method;
  }
  if (name == "trees" || name == "trees of grpo") config.branch = {0, 2};
  if (name == "trees of grpo") config.method = finetune::policy_method("grpo");
  if (name == "offline") {
    config.offline = true;
    config.offline_epochs = 2;
  }
  if (name == "dpok") config.constraints = "kl<=0.5";
  if (name == "whole micro-batches") config.sample_batch_size = config.train_batch_size = 2;
  return config;
}

// Named configurations that so many processes are compared with one by.
std::vector<std::string> compared_runs(int count) {
  if (count == 4) return {"several updates", "offline"};
  if (count == 3) return {"trees", "trees of grpo"};
  std::vector<std::string> names{"several updates"};
  for (const auto& method : finetune::policy_methods()) names.push_back(method.name);
  return names;
}

TEST(ProcessGroup, TheLossesOfManyProcessesAreThoseOfOne) {
  if (tests::is_rank())
    return act_as_rank([](const ProcessGroup& ranks) {
      for (const auto& name : compared_runs(ranks.count))
        run_here(ranks, config_named(name), tests::rank_folder() / name);
    });
  const fs::path place = tests::fresh_folder("place");
  for (const int count : {2, 3, 4}) {
    const fs::path folder = place / std::to_string(count);
    expect_run(count, folder);
    for (const auto& name : compared_runs(count)) {
      SCOPED_TRACE(name);
      const fs::path alone = place / "alone" / name;
      if (!fs::exists(alone)) run_here({}, config_named(name), alone);
      expect_near(alone, folder / name,
                  {"loss", "grad_norm", "reward_mean", "kl_nats", "beta", "multiplier.kl"});
      EXPECT_EQ(metrics(folder / name, true).size(), metrics(alone, true).size());
    }
  }
}

// The held-out reward is the trained one turned round: it falls as the run learns.
finetune::RunResult run_guarded(const ProcessGroup& ranks, const fs::path& folder) {
  finetune::TrainingTask task = ranks_task();
  rewards::Reward cyan = tests::channel_reward("cyan", 0, false);
  cyan.score = [score = cyan.score](const rewards::RewardBatch& batch) { return -score(batch); };
  task.eval_rewards = {{cyan, 1.0}};
  task.guard_rewards = {"cyan"};
  FinetuneConfig config = tests::tiny_config();
  config.guard = "on";
  config.target_kl = 1e5;
  config.images_per_prompt = 8;
  auto options = tests::run_options(folder, "prdp", config.seed, "");
  options.ranks = ranks;
  return finetune::run_finetune(task, config, options, {});
}

TEST(ProcessGroup, TheGuardJudgesAlikeOnAllRanks) {
  if (tests::is_rank())
    return act_as_rank([](const ProcessGroup& ranks) {
      const auto result = run_guarded(ranks, tests::rank_folder() / "run");
      std::cout << "verdict " << (result.verdict ? guard::verdict_text(*result.verdict) : "none")
                << std::endl;
    });
  const fs::path alone = tests::fresh_folder("alone"), folder = tests::fresh_folder("ranks");
  run_guarded({}, alone);
  expect_run(2, folder);
  const auto here = metrics(alone, true), there = metrics(folder / "run", true);
  ASSERT_EQ(here.size(), there.size());
  ASSERT_GT(here.size(), 1u);
  for (size_t i = 1; i < here.size(); ++i) {
    EXPECT_EQ(here[i]["guard/state"], there[i]["guard/state"]) << i;
    for (const char* figure : {"guard/fall", "guard/se", "guard/cov/cyan"}) {
      if (!here[i].contains(figure)) continue;
      const double expected = here[i][figure].get<double>();
      EXPECT_NEAR(there[i][figure].get<double>(), expected, 1e-3 * std::abs(expected) + 1e-6)
          << figure << " of " << i;
    }
  }
  EXPECT_GT(here.back()["guard/fall"].get<double>(), 0);
  // Both ranks say the same.
  const std::string logs = tests::logs_of(folder);
  const size_t first = logs.find("verdict "), second = logs.rfind("verdict ");
  ASSERT_NE(first, second);
  EXPECT_EQ(logs.substr(first, logs.find('\n', first) - first),
            logs.substr(second, logs.find('\n', second) - second));
}

// Bytes of sums an epoch: by hand, as docs/scaling.md has them.
TEST(ProcessGroup, AnEpochExchangesAsManyBytesAsReckoned) {
  if (tests::is_rank()) return run_as_rank(config_named("several updates"));
  const fs::path folder = tests::fresh_folder("ranks") / "several updates";
  expect_run(2, folder);
  const FinetuneConfig config = config_named("several updates");
  finetune::TrainingTask task = ranks_task();
  int64_t trained = 0;
  for (const auto& param : finetune::trained_parameters(task.unet, config))
    trained += param.value.numel();
  const int64_t images = 8, steps = 3, updates = 4, rewards = 1;
  const int64_t once = 8 * images * (rewards + 2 * steps + 1) + 8;  // rewards, KL, log-ratios, ids
  const int64_t each = 4 * trained;                                 // gradients
  const int64_t ratios = 8 * (images / 2) * steps;  // of an update after the first: one prompt's
  for (const auto& line : metrics(folder / "run", false))
    EXPECT_EQ(line["bytes/exchange"].get<int64_t>(),
              once + updates * each + (updates - 1) * ratios);
}

FinetuneConfig one_epoch(bool whole_batches) {
  FinetuneConfig config = config_named(whole_batches ? "whole micro-batches" : "one update");
  config.num_epochs = 1;
  return config;
}

// Their micro-batches are those of one process where each rank's stretch is whole ones; else matrix
// kernels round otherwise.
TEST(ProcessGroup, ImagesDoNotDependOnTheNumberOfProcesses) {
  const auto name_of = [](bool whole) { return whole ? "whole" : "parts"; };
  if (tests::is_rank())
    return act_as_rank([&](const ProcessGroup& ranks) {
      for (const bool whole : {true, false})
        run_here(ranks, one_epoch(whole), tests::rank_folder() / name_of(whole));
    });
  const fs::path place = tests::fresh_folder("ranks");
  for (const int count : {2, 3, 4}) expect_run(count, place / std::to_string(count));
  for (const bool whole : {true, false}) {
    const fs::path alone = tests::fresh_folder(name_of(whole));
    run_here({}, one_epoch(whole), alone);
    const auto expected = metrics(alone, false).at(0);
    for (const int count : {2, 3, 4}) {
      const fs::path run = place / std::to_string(count) / name_of(whole);
      const auto found = metrics(run, false).at(0);
      for (const char* figure : {"reward_mean", "reward_std", "loss", "kl_nats"}) {
        const double value = expected[figure].get<double>();
        const bool same_batches = whole && count != 3;
        EXPECT_NEAR(found[figure].get<double>(), value, same_batches ? 0 : 1e-4 * std::abs(value))
            << figure << " of " << count;
      }
      for (const char* image : {"0000.png", "0003.png", "0007.png"}) {
        EXPECT_EQ(data::read_file(run / "samples/base" / image),
                  data::read_file(alone / "samples/base" / image))
            << count << " ranks, " << image;
      }
    }
  }
}

TEST(ProcessGroup, AnotherNumberOfProcessesGoesOn) {
  if (tests::is_rank()) {
    FinetuneConfig config = config_named("several updates");
    const int epochs = std::atoi(std::getenv("LAUREL_TEST_EPOCHS"));
    config.num_epochs = epochs;
    return run_as_rank(config, epochs > 1 ? "latest" : "");
  }
  const fs::path alone = tests::fresh_folder("alone"), folder = tests::fresh_folder("ranks");
  run_here({}, config_named("several updates"), alone);
  const std::vector<std::string> names{"loss", "grad_norm", "reward_mean", "kl_nats", "beta"};
  int epochs = 0;
  for (const int count : {4, 2, 3})
    expect_run(count, folder, {{"LAUREL_TEST_EPOCHS", std::to_string(++epochs)}});
  run_here({}, config_named("several updates"), folder / "run", "latest");
  expect_near(alone, folder / "run", names);
  expect_close(alone / "checkpoint-16/state.safetensors",
               folder / "run/checkpoint-16/state.safetensors", 1e-4);
}

TEST(ProcessGroup, MomentsSharedOutChangeNothing) {
  if (tests::is_rank())
    return act_as_rank([](const ProcessGroup& ranks) {
      const bool resumed = std::getenv("LAUREL_TEST_RESUMED") != nullptr;
      FinetuneConfig config = config_named("several updates");
      if (!resumed) config.num_epochs = 2;
      for (const std::string name : {"whole", "shared"}) {
        config.shard_optimizer = name == "shared";
        run_here(ranks, config, tests::rank_folder() / name, resumed ? "latest" : "");
      }
    });
  const fs::path place = tests::fresh_folder("ranks");
  expect_run(3, place);
  expect_run(3, place, {{"LAUREL_TEST_RESUMED", "1"}});
  const std::string last = "checkpoint-16/state.safetensors";
  tests::expect_same_tensors(place / "whole" / last, place / "shared" / last);
}

finetune::DistillConfig distill_named(const std::string& name) {
  finetune::DistillConfig config = tests::distill_config();
  config.reward_chunk = 4;
  config.adam_epsilon = 1e-2;  // else a gradient of nothing but rounding moves a weight, too
  config.diversity_beta = 0.1;
  config.diversity_prompts = 3;
  config.on_policy = 0.5;
  if (name == "a latent reward") {
    config.latent_reward = true;
    config.latent_reward_warmup = 1;
    config.on_policy = config.diversity_beta = 0;
  }
  if (name == "blended captions") config.caption_mix = 0.25;
  return config;
}

void distill_here(const ProcessGroup& ranks, const std::string& name, const fs::path& folder) {
  auto options = tests::run_options(folder, "distill", 0, "");
  options.ranks = ranks;
  finetune::run_distill(tests::distill_task(), tests::distill_data(), distill_named(name), options,
                        {});
}

TEST(ProcessGroup, ADistillationIsThatOfOneProcess) {
  const std::vector<std::string> names{"a reward", "a latent reward", "blended captions"};
  if (tests::is_rank())
    return act_as_rank([&](const ProcessGroup& ranks) {
      for (const auto& name : names) distill_here(ranks, name, tests::rank_folder() / name);
    });
  const fs::path place = tests::fresh_folder("ranks");
  for (const int count : {2, 3}) expect_run(count, place / std::to_string(count));
  for (const auto& name : names) {
    SCOPED_TRACE(name);
    const fs::path alone = tests::fresh_folder(name);
    distill_here({}, name, alone);
    for (const int count : {2, 3}) {
      const fs::path run = place / std::to_string(count) / name;
      expect_near(alone, run, {"loss", "grad_norm", "gradient/lcd"});
      // The latent reward's own AdamW has its rounding.
      expect_near(alone, run, {"reward_mean"}, name == "a latent reward" ? 1e-2 : 1e-4);
      const std::string last = "checkpoint-4/state.safetensors";
      expect_close(alone / last, run / last, 1e-5);
    }
  }
}

}  // namespace
