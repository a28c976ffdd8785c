// A training run that a signal stops: it saves, and exits with 128 + the signal.

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "data/base/files.hpp"
#include "diffusion/checkpoints/diffusers_folder.hpp"
#include "finetune/run/run_folder.hpp"
#include "tests/support/paths.hpp"
#include "tests/support/rank_processes.hpp"
#include "tests/support/tiny/pipeline.hpp"

namespace {

namespace fs = std::filesystem;
using Words = std::vector<std::string>;
using Clock = std::chrono::steady_clock;

class StopSignal : public testing::Test {
 protected:
  void SetUp() override {
    fs::remove_all(folder_);
    diffusion::save_pipeline(folder_ / "model", tests::tiny_pipeline(), at::kFloat);
    data::write_file(folder_ / "prompts.txt", "a red circle\na blue square\n");
  }
  void TearDown() override { fs::remove_all(folder_); }

  // A run of epochs of a few milliseconds. `before`: words of a shell in front of it.
  pid_t start(const std::string& epochs, const std::string& before = "") const {
    const std::string command =
        before + "exec " + tests::program() + " finetune prdp --model " +
        (folder_ / "model").string() + " --prompts " + (folder_ / "prompts.txt").string() +
        " --reward jpeg_compressibility --device cpu --prompts_per_epoch 2 --images_per_prompt 2 "
        "--sample_num_steps 3 --prompts_per_update 1 --eval_prompts 0 --num_epochs " +
        epochs + " --output_dir " + run_.string();
    return tests::start_process({"/bin/sh", "-c", command}, {{"OMP_NUM_THREADS", "1"}}, log_);
  }
  void wait_for_epochs(int epochs) const {
    const auto lines = [&] {
      const std::string text = tests::text_of(run_ / "metrics.jsonl");
      return std::count(text.begin(), text.end(), '\n');
    };
    const auto end = Clock::now() + std::chrono::seconds(60);
    while (lines() < epochs && Clock::now() < end)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    ASSERT_GE(lines(), epochs) << tests::text_of(log_);
  }
  const fs::path folder_ =
      fs::path(testing::TempDir()) / ("laurel_stop_" + std::to_string(getpid()));
  const fs::path run_ = folder_ / "run", log_ = folder_ / "log";
};

TEST_F(StopSignal, SavesAndExitsWith128AndTheSignal) {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGUSR1}) {
    fs::remove_all(run_);
    const pid_t process = start("100000");
    wait_for_epochs(2);
    kill(process, signal);
    EXPECT_EQ(tests::wait_for({process}, 30), std::vector<int>{128 + signal});
    EXPECT_FALSE(finetune::checkpoints(run_).empty()) << tests::text_of(log_);
    EXPECT_TRUE(fs::exists(run_ / "pytorch_lora_weights.safetensors"));
  }
}

TEST_F(StopSignal, IsZeroWithoutOne) {
  EXPECT_EQ(tests::wait_for({start("1")}, 30), std::vector<int>{0});
}

TEST_F(StopSignal, LeavesHangUpsIgnoredUnderNohup) {
  const pid_t process = start("100000", "trap '' HUP; ");
  wait_for_epochs(2);
  kill(process, SIGHUP);
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  EXPECT_EQ(waitpid(process, nullptr, WNOHANG), 0);
  kill(process, SIGTERM);
  EXPECT_EQ(tests::wait_for({process}, 30), std::vector<int>{128 + SIGTERM});
}

}  // namespace
