// `laurel finetune` as started by a launcher: several processes with environment variables.

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <nlohmann/json.hpp>
#include <sstream>

#include "data/base/base64.hpp"
#include "data/base/files.hpp"
#include "data/images/image_io.hpp"
#include "data/system/http_server.hpp"
#include "diffusion/checkpoints/diffusers_folder.hpp"
#include "finetune/run/run_folder.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/paths.hpp"
#include "tests/support/rank_processes.hpp"
#include "tests/support/tiny/run.hpp"

namespace {

namespace fs = std::filesystem;
using Words = std::vector<std::string>;
using Clock = std::chrono::steady_clock;

constexpr int64_t kUpdates = 4;  // of an epoch

// A checkpoint, a prompt file, and the arguments to finetune it in many short epochs.
struct Place {
  fs::path folder;
  int port = tests::free_port();

  Place() {
    folder = tests::fresh_folder();
    diffusion::save_pipeline(folder / "model", tests::tiny_pipeline(), at::kFloat);
    data::write_file(folder / "prompts.txt", "a red circle\na blue square\na red square\n");
  }

  pid_t start(int rank, int count, const Words& more) const {
    Words words{tests::program(),
                "finetune",
                "prdp",
                "--model",
                (folder / "model").string(),
                "--prompts",
                (folder / "prompts.txt").string(),
                "--reward",
                "jpeg_compressibility",
                "--device",
                "cpu",
                "--prompts_per_epoch",
                "2",
                "--images_per_prompt",
                "2",
                "--sample_num_steps",
                "3",
                "--prompts_per_update",
                "1",
                "--num_inner_epochs",
                "2",
                "--eval_prompts",
                "0",
                "--rank_timeout",
                "8",
                "--rendezvous_timeout",
                "20",
                "--output_dir",
                (folder / "run").string()};
    words.insert(words.end(), more.begin(), more.end());
    return tests::start_process(words, tests::launch_variables(rank, count, port), log(rank));
  }
  fs::path log(int rank) const { return folder / ("rank-" + std::to_string(rank) + ".log"); }
  std::string said(int rank) const { return tests::text_of(log(rank)); }
  // The lines of all ranks that begin with "laurel: ".
  Words complaints(int count) const {
    Words lines;
    for (int rank = 0; rank < count; ++rank) {
      std::istringstream text(said(rank));
      for (std::string line; std::getline(text, line);) {
        if (line.starts_with("laurel: ")) lines.push_back(line);
      }
    }
    return lines;
  }
  void wait_for_epochs(int epochs) const {
    const auto end = Clock::now() + std::chrono::seconds(60);
    const fs::path file = folder / "run" / "metrics.jsonl";
    const auto lines = [&] {
      const std::string text = tests::text_of(file);
      return std::count(text.begin(), text.end(), '\n');
    };
    while (lines() < epochs && Clock::now() < end)
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    ASSERT_GE(lines(), epochs) << said(0);
  }
};

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Starts three ranks, disturbs one of them during training, and expects that the others end within
// a minute, that one line names the failed rank, and that the completed epochs are saved.
void expect_end_after(int victim, int signal, const std::string& expected) {
  const Place place;
  std::vector<pid_t> ranks;
  for (int rank = 0; rank < 3; ++rank)
    ranks.push_back(place.start(rank, 3, {"--num_epochs", "100000"}));
  place.wait_for_epochs(3);
  const auto start = Clock::now();
  kill(ranks[static_cast<size_t>(victim)], signal);
  std::vector<pid_t> others = ranks;
  others.erase(others.begin() + victim);
  EXPECT_EQ(tests::wait_for(others, 60), (std::vector<int>{1, 1})) << place.said(0);
  EXPECT_LT(seconds_since(start), 50);
  kill(ranks[static_cast<size_t>(victim)], SIGKILL);
  tests::wait_for({ranks[static_cast<size_t>(victim)]}, 5);
  const Words lines = place.complaints(3);
  ASSERT_EQ(lines.size(), 1u) << place.said(0) << place.said(1) << place.said(2);
  const std::string name = "laurel: rank " + std::to_string(victim) + " of 3";
  EXPECT_EQ(lines[0].substr(0, name.size()), name) << lines[0];
  for (const std::string& part : {expected, std::string("saved after epoch ")})
    EXPECT_NE(lines[0].find(part), std::string::npos) << lines[0];
  const auto saved = finetune::checkpoints(place.folder / "run");
  ASSERT_FALSE(saved.empty());
  EXPECT_NE(lines[0].find(saved.back().string()), std::string::npos) << lines[0];
  // The checkpoint equals one written after the last completed epoch.
  const std::string metrics = tests::text_of(place.folder / "run" / "metrics.jsonl");
  const auto done = std::count(metrics.begin(), metrics.end(), '\n');
  const auto checkpoint = [](int64_t epochs) {
    return "checkpoint-" + std::to_string(kUpdates * epochs);
  };
  ASSERT_EQ(saved.back().filename().string(), checkpoint(done));
  std::vector<pid_t> again;
  for (int rank = 0; rank < 3; ++rank) {
    again.push_back(place.start(
        rank, 3,
        {"--num_epochs", std::to_string(done), "--output_dir", (place.folder / "again").string()}));
  }
  EXPECT_EQ(tests::wait_for(again, 60), (std::vector<int>{0, 0, 0})) << place.said(0);
  const fs::path state = fs::path(checkpoint(done)) / "state.safetensors";
  tests::expect_same_tensors(place.folder / "run" / state, place.folder / "again" / state);
  // A single process resumes from it.
  const pid_t alone = place.start(
      0, 1, {"--num_epochs", std::to_string(done + 1), "--resume_from_checkpoint", "latest"});
  EXPECT_EQ(tests::wait_for({alone}, 60), std::vector<int>{0}) << place.said(0);
  EXPECT_TRUE(fs::exists(place.folder / "run" / checkpoint(done + 1)));
}

TEST(RanksCommand, AKilledRankEndsTheRun) { expect_end_after(1, SIGKILL, "no sign of life"); }
TEST(RanksCommand, AHungRankEndsTheRun) { expect_end_after(2, SIGSTOP, "no sign of life"); }
TEST(RanksCommand, SoDoesRankZeroKilled) { expect_end_after(0, SIGKILL, "was lost"); }
TEST(RanksCommand, SoDoesRankZeroHung) { expect_end_after(0, SIGSTOP, "was lost"); }

TEST(RanksCommand, RefusesRanksOfDifferentConfigurations) {
  const Place place;
  const auto codes = tests::wait_for({place.start(0, 2, {"--num_epochs", "1"}),
                                      place.start(1, 2, {"--num_epochs", "1", "--rank", "4"})},
                                     60);
  EXPECT_EQ(codes, (std::vector<int>{2, 2}));
  const Words lines = place.complaints(2);
  ASSERT_EQ(lines.size(), 1u) << place.said(0) << place.said(1);
  EXPECT_NE(lines[0].find("rank 1 of 2"), std::string::npos) << lines[0];
  EXPECT_NE(lines[0].find("expected `rank = 8`, found `rank = 4`"), std::string::npos) << lines[0];
  EXPECT_FALSE(fs::exists(place.folder / "run"));
}

TEST(RanksCommand, RefusesRanksOfDifferentPrograms) {
  const Place place;
  // The program with one more byte: another build.
  const fs::path other = place.folder / "laurel";
  fs::copy_file(tests::program(), other);
  std::ofstream(other, std::ios::app) << " ";
  const Words more{"--num_epochs", "1"};
  const pid_t first = place.start(0, 2, more);
  const pid_t second =
      tests::start_process({other.string(), "finetune", "prdp", "--num_epochs", "1"},
                           tests::launch_variables(1, 2, place.port), place.log(1));
  EXPECT_EQ(tests::wait_for({first, second}, 60), (std::vector<int>{2, 2}));
  const Words lines = place.complaints(2);
  ASSERT_EQ(lines.size(), 1u) << place.said(0) << place.said(1);
  EXPECT_NE(lines[0].find("rank 1 of 2"), std::string::npos) << lines[0];
  EXPECT_NE(lines[0].find("found `program = "), std::string::npos) << lines[0];
}

TEST(RanksCommand, NamesTheRanksThatDidNotCome) {
  const Place place;
  const Words more{"--num_epochs", "1", "--rendezvous_timeout", "2"};
  const auto codes = tests::wait_for({place.start(0, 4, more), place.start(2, 4, more)}, 60);
  EXPECT_EQ(codes, (std::vector<int>{2, 2}));
  const Words lines = place.complaints(4);
  ASSERT_EQ(lines.size(), 1u) << place.said(0) << place.said(2);
  EXPECT_NE(lines[0].find("within 2 s, missing: 1 3;"), std::string::npos) << lines[0];
}

// The "reward_mean" of each epoch of a run.
std::vector<double> reward_means(const fs::path& run) {
  std::vector<double> means;
  std::istringstream lines(data::read_file(run / "metrics.jsonl"));
  for (std::string line; std::getline(lines, line);)
    means.push_back(nlohmann::json::parse(line).at("reward_mean").get<double>());
  return means;
}

// Each rank requests scores for its own images; every image is scored once, as in one process.
TEST(RanksCommand, ShareOneServerOfRewards) {
  std::atomic<int> rated = 0;
  const data::HttpServer server("127.0.0.1", 0, [&](const data::HttpRequest& request) {
    nlohmann::json scores = nlohmann::json::array();
    const nlohmann::json body = nlohmann::json::parse(request.body);
    for (const auto& image : body.at("images")) {
      const std::string png = data::from_base64(image.get<std::string>());
      scores.push_back(100 * data::decode_image(png, "image").mean().item<double>());
    }
    rated += static_cast<int>(scores.size());
    return data::HttpReply{.status = 200,
                           .body = nlohmann::json{{"scores", scores}}.dump(),
                           .headers = {},
                           .error = ""};
  });
  const Place place;
  const Words reward{"--define",
                     "far=http://127.0.0.1:" + std::to_string(server.port()) + "/score",
                     "--reward",
                     "far",
                     "--num_epochs",
                     "2",
                     "--sample_batch_size",
                     "1",
                     "--train_batch_size",
                     "1"};
  const auto started = [&](int rank, int count, const std::string& run) {
    Words words = reward;
    words.insert(words.end(), {"--output_dir", (place.folder / run).string()});
    return place.start(rank, count, words);
  };
  EXPECT_EQ(tests::wait_for({started(0, 1, "alone")}, 60), std::vector<int>{0}) << place.said(0);
  const int images = rated.exchange(0);
  EXPECT_EQ(images, 2 * 4);
  EXPECT_EQ(tests::wait_for({started(0, 2, "both"), started(1, 2, "both")}, 60),
            (std::vector<int>{0, 0}))
      << place.said(0) << place.said(1);
  EXPECT_EQ(rated, images);
  const auto alone = reward_means(place.folder / "alone"),
             both = reward_means(place.folder / "both");
  ASSERT_EQ(alone.size(), 2u);
  ASSERT_EQ(both.size(), 2u);
  EXPECT_DOUBLE_EQ(both[0], alone[0]);
  EXPECT_NEAR(both[1], alone[1], 1e-3 * alone[1]);  // gradients add up in another order
}

TEST(RanksCommand, SaysWhenNobodyListens) {
  const Place place;
  const auto codes =
      tests::wait_for({place.start(1, 2, {"--num_epochs", "1", "--rendezvous_timeout", "2"})}, 60);
  EXPECT_EQ(codes, std::vector<int>{2});
  const Words lines = place.complaints(2);
  ASSERT_EQ(lines.size(), 1u) << place.said(1);
  EXPECT_NE(lines[0].find("rank 1 of 2 expected rank 0 at 127.0.0.1:"), std::string::npos)
      << lines[0];
}

}  // namespace
