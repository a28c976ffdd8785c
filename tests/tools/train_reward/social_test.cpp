#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "data/images/image_io.hpp"
#include "data/world/scene.hpp"
#include "rewards/registry/registry.hpp"
#include "tests/support/bad_input.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tools/train_reward/command.hpp"
#include "tools/world/command.hpp"

namespace {

namespace fs = std::filesystem;

// Eight prompts with four pictures each, one of which shows what is asked for.
void draw_pictures(const fs::path& folder) {
  auto generator = at::detail::createCPUGenerator(1);
  for (int prompt = 0; prompt < 8; ++prompt) {
    const auto batch = world::random_batch(4, world::Split::kSeen, generator);
    for (int picture = 0; picture < 4; ++picture) {
      const auto stem = std::to_string(prompt) + "-" + std::to_string(picture);
      data::write_png(folder / (stem + ".png"), batch.images[picture]);
      data::write_file(folder / (stem + ".txt"), batch.captions[0]);
    }
  }
}

// Simulates a community's log of such pictures. -> `laurel train-reward` on it, into run/
std::vector<std::string> arguments_of_log(const fs::path& folder) {
  draw_pictures(folder / "pictures");
  const std::string world = (folder / "log").string();
  const std::vector<std::string> simulation = {"social-log",
                                               "--images",
                                               (folder / "pictures").string(),
                                               "--out",
                                               world,
                                               "--survey_pairs",
                                               "3",
                                               "--visits_a_prompt",
                                               "80"};
  EXPECT_EQ(tools::kWorld.run(simulation), 0);
  EXPECT_THROW(tools::kWorld.run(simulation), data::BadInput);  // the folder holds a log
  std::vector<std::string> arguments = {"social", "--log", world + "/log.jsonl", "--output_dir"};
  for (const auto& word : {(folder / "run").string(), std::string("--exam"), world})
    arguments.push_back(word);
  for (const char* word : {"--epochs", "1", "--min_deviations", "0", "--train_batch_size", "8",
                           "--vision_layers", "1", "--text_layers", "1"})
    arguments.emplace_back(word);
  return arguments;
}

TEST(SocialCommands, FromPicturesToAReward) {
  const fs::path folder = tests::fresh_folder();
  const auto arguments = arguments_of_log(folder);
  ASSERT_EQ(tools::kTrainReward.run(arguments), 0);
  EXPECT_THROW(tools::kTrainReward.run(arguments), data::BadInput);  // the folder holds a run
  const auto report = data::read_json_object(folder / "run" / "reward" / "reward.json");
  EXPECT_EQ(report["exams"]["log"]["pairs"].get<int>() > 10, true);
  EXPECT_GE(report["exams"]["log"]["curated_rate"]["right"]["value"].get<double>(), 0.5);
  EXPECT_EQ(report["position_factor"][1], 1);
  rewards::RewardSources sources;
  sources.weights["social"] = folder / "run" / "reward";
  const auto reward = rewards::make_reward("social", sources);
  const auto image = data::read_image(folder / "pictures" / "0-0.png").unsqueeze(0);
  EXPECT_GT(
      reward.score({image, {data::read_file(folder / "pictures" / "0-0.txt")}}).item<double>(), 20);
}

TEST(SocialCommands, MembersAreAFolderOfClips) {
  const fs::path folder = tests::fresh_folder();
  auto arguments = arguments_of_log(folder);
  for (const char* word : {"--members", "2", "--vary", "data", "--label_noise", "0.25"})
    arguments.emplace_back(word);
  ASSERT_EQ(tools::kTrainReward.run(arguments), 0);
  const auto two = folder / "run" / "reward";
  EXPECT_EQ(data::read_json_object(two / "2" / "reward.json")["label_noise"], 0.25);
  const auto image = data::read_image(folder / "pictures" / "0-0.png").unsqueeze(0);
  rewards::RewardSources sources;
  sources.weights["social"] = two;
  sources.definitions = {"mine=social:" + two.string()};
  for (const auto* name : {"social.members", "mine.members"}) {
    const auto members = rewards::make_rewards(name, sources);
    ASSERT_EQ(members.size(), 2U);
    const rewards::RewardBatch batch{image, {"a red circle"}};
    EXPECT_NE(members[0].reward.score(batch).item<double>(),
              members[1].reward.score(batch).item<double>());
  }
}

void write_fixtures(const fs::path& folder) {
  data::write_file(folder / "empty.jsonl", "");
  data::write_file(folder / "few.jsonl",
                   R"({"time":1,"user":"u","prompt":"p","image":"a.png","action":"like"})");
  data::write_png(folder / "a.png", at::full({3, 64, 64}, 0.5));
  data::write_png(folder / "bare" / "a.png", at::full({3, 64, 64}, 0.5));
}

class SocialBadInput : public testing::TestWithParam<bad_input::Case> {};

TEST_P(SocialBadInput, IsRefusedInOneLine) {
  static const bad_input::Folder folder("social_bad", write_fixtures);
  bad_input::expect_refused(GetParam(), folder.text());
}

INSTANTIATE_TEST_SUITE_P(
    Cases,
    SocialBadInput,
    testing::Values(
        bad_input::Case{"NoLog", "train-reward social --output_dir @/run", {"--log"}},
        bad_input::Case{"EmptyLog",
                        "train-reward social --log @/empty.jsonl --output_dir @/run",
                        {"empty.jsonl", "likes or reuses"}},
        bad_input::Case{"TooFewPairs",
                        "train-reward social --log @/few.jsonl --output_dir @/run",
                        {"few.jsonl", "at least 10 pairs", "found 0"}},
        bad_input::Case{
            "NothingTrained",
            "train-reward social --log @/few.jsonl --output_dir @/run --vision_layers 0 "
            "--text_layers 0",
            {"vision_layers"}},
        bad_input::Case{"UnknownReward", "train-reward sozial", {"did you mean social?"}},
        bad_input::Case{
            "NoPrompt", "world social-log --images @/bare --out @/log", {"a.png", "prompt"}},
        bad_input::Case{
            "NoModel", "score @/a.png -r social --prompt p --social @/nothing", {"nothing"}}),
    bad_input::case_name);

}  // namespace
