#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <string>

#include "finetune/forward/methods/forward_methods.hpp"
#include "finetune/forward/online.hpp"
#include "tests/support/rank_processes.hpp"
#include "tests/support/tiny/run.hpp"
#include "tools/cli/run_in_ranks.hpp"

namespace {

namespace fs = std::filesystem;

// The run of the method called `name`.
void train_forward(const finetune::ProcessGroup& ranks,
                   const std::string& name,
                   const fs::path& folder) {
  finetune::ForwardConfig config;
  for (const auto& method : finetune::forward_methods()) {
    if (method.name == name) config.method = method;
  }
  config.num_epochs = 2;
  config.prompts_per_epoch = 2;
  config.images_per_prompt = 4;
  config.num_inner_epochs = 2;
  config.draws = 2;
  config.train_batch_size = 3;
  config.sample_num_steps = 3;
  config.sample_batch_size = 8;
  config.rank = 4;
  config.learning_rate = 1e-2;
  config.eval_prompts = 1;
  config.eval_images = 2;
  auto options = tests::run_options(folder, name, 0, "");
  options.ranks = ranks;
  finetune::run_online(tests::tiny_task(), config, options, {});
}

// RAFT trains on two images: one of three ranks has none.
TEST(ForwardRanks, TheLossesOfSeveralProcessesAreThoseOfOne) {
  if (tests::is_rank()) {
    const int code = tools::in_ranks("", {60, 40}, [&](const finetune::ProcessGroup& ranks) {
      train_forward(ranks, tests::rank_folder().filename(), tests::rank_folder() / "run");
      return 0;
    });
    EXPECT_EQ(code, 0);
    return;
  }
  for (const auto& method : finetune::forward_methods()) {
    const fs::path alone = tests::fresh_folder(method.name),
                   folder = tests::fresh_folder("ranks") / method.name;
    train_forward({}, method.name, alone);
    const auto codes = tests::wait_for(tests::start_ranks(3, folder), 120);
    EXPECT_EQ(codes, std::vector<int>(3, 0)) << tests::text_of(folder / "rank-0.log");
    const auto expected = tests::metrics(alone, false),
               found = tests::metrics(folder / "run", false);
    ASSERT_EQ(expected.size(), found.size()) << method.name;
    for (size_t i = 0; i < expected.size(); ++i) {
      for (const char* name : {"loss", "grad_norm", "reward_mean", "trained_images"}) {
        const double value = expected[i][name].get<double>();
        EXPECT_NEAR(found[i][name].get<double>(), value, 1e-4 * std::abs(value) + 1e-7)
            << method.name << ", " << name << " of line " << i;
      }
    }
  }
}

}  // namespace
