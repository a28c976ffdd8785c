// laurel train-reward value, and what reads its network, as a user runs them.

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "data/images/formats/png_text.hpp"
#include "data/images/image_files.hpp"
#include "data/weights/safetensors.hpp"
#include "tests/support/bad_input.hpp"

namespace {

namespace fs = std::filesystem;

class TrainValue : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    fs::remove_all(folder());
    fs::create_directories(folder());
    std::string prompts;
    for (const char* colour : {"red", "green", "blue"})
      for (const char* shape : {"circle", "square"})
        prompts += std::string("a ") + colour + " " + shape + "\n";
    data::write_file(folder() / "prompts.txt", prompts);
    const auto made = run(training("value"));
    ASSERT_EQ(made.exit_code, 0) << made.complaint;
  }
  static void TearDownTestSuite() { fs::remove_all(folder()); }
  static fs::path folder() { return fs::path(testing::TempDir()) / "laurel_train_value"; }
  static std::string model() {
    return "-m " + std::string(tests::source_dir()) + "/tests/golden/pipeline --device cpu ";
  }
  static std::string training(const std::string& output) {
    return "train-reward value " + model() +
           "--prompts @/prompts.txt --reward brightness --chains 4 --steps 4 --held_out 0.34 "
           "--max_train_steps 30 --train_batch_size 16 -o @/" +
           output + " ";
  }
  static std::string sampling(const std::string& output) {
    return "sample " + model() + "-p 'a red circle' --steps 4 --eta 1 -o @/" + output + " ";
  }
  static bad_input::Outcome run(const std::string& arguments) {
    return bad_input::run_laurel(arguments, folder().string());
  }
  static std::string parameters_of(const std::string& name) {
    const auto files = data::list_images((folder() / name).string());
    return files.empty() ? "" : data::read_png_text(files[0]).at("parameters");
  }
};

TEST_F(TrainValue, ReportsWhatIsKnownAtEachStep) {
  const auto report = data::read_json_object(folder() / "value/report.json");
  EXPECT_EQ(report["training_prompts"], 4);
  EXPECT_EQ(report["held_out_prompts"], 2);
  ASSERT_EQ(report["explained"].size(), 4u);
  for (const auto& step : report["explained"]) {
    for (const char* of : {"value", "expected"}) {
      EXPECT_GE(step[of]["value"].get<double>(), 0);
      EXPECT_LE(step[of]["value"].get<double>(), 1);
    }
  }
  EXPECT_GT(report["explained"][3]["expected"]["value"].get<double>(), 0.8);
  const auto config = data::read_json_object(folder() / "value/reward.json");
  EXPECT_EQ(config["reward"], "brightness");
  EXPECT_EQ(config["reads_expected"], false);
}

// Chains, ratings and updates are kept: a second run repeats none of them.
TEST_F(TrainValue, GoesOnWhereItWasAndSharesItsChains) {
  const auto weights = data::read_file(folder() / "value/model.safetensors");
  const auto chain = folder() / "value/trajectories/00001.safetensors";
  const auto written = fs::last_write_time(chain);
  fs::remove(folder() / "value/trajectories/00003.safetensors");
  ASSERT_EQ(run(training("value")).exit_code, 0);
  EXPECT_EQ(data::read_file(folder() / "value/model.safetensors"), weights);
  EXPECT_EQ(fs::last_write_time(chain), written);
  const auto other = run(training("other") + "--trajectories @/value/trajectories --expected");
  EXPECT_EQ(other.exit_code, 0) << other.complaint;
  EXPECT_EQ(data::read_json_object(folder() / "other/reward.json")["reads_expected"], true);
  const auto refused = run(training("third") + "--trajectories @/value/trajectories --chains 5");
  bad_input::expect_complaint(refused, {"trajectories.json: chains: expected 5", "found 4"},
                              folder().string());
}

TEST_F(TrainValue, RatesTheSamplesOfGuidesAndIsNamedInTheirRecords) {
  for (const char* guide : {"particles=4", "per_step=2"}) {
    const auto led = run(sampling(guide) + "--guide " + guide + " --guide_value @/value");
    ASSERT_EQ(led.exit_code, 0) << led.complaint;
    EXPECT_NE(parameters_of(guide).find("Guide value: brightness at "), std::string::npos)
        << parameters_of(guide);
    EXPECT_NE(parameters_of(guide).find("brightness Score: "), std::string::npos);
    const auto record = data::parse_json(data::read_file(folder() / guide / "guide.jsonl"));
    EXPECT_NE(record["value"].get<std::string>().find("brightness at"), std::string::npos);
  }
}

TEST_F(TrainValue, GivesCreditToTheStepsOfAFinetuning) {
  const std::string finetune =
      "finetune grpo " + model() +
      "--prompts @/prompts.txt --reward brightness --num_epochs 1 --prompts_per_epoch 2 "
      "--images_per_prompt 2 --sample_num_steps 3 --eval_prompts 1 --eval_images 1 ";
  const auto done = run(finetune +
                        "--step_rewards value --step_value @/value --baseline_value "
                        "@/value -o @/tuned");
  EXPECT_EQ(done.exit_code, 0) << done.complaint;
  // Any model of one UNet is a student, though a bad one.
  const auto student = run(finetune + "--step_rewards student --step_student " +
                           std::string(tests::source_dir()) + "/tests/golden/pipeline -o @/led");
  EXPECT_EQ(student.exit_code, 0) << student.complaint;
  const auto other = run(finetune + "--step_rewards expected -o @/expected");
  EXPECT_EQ(other.exit_code, 0) << other.complaint;
}

// Six prompts of two images, in two epochs; all are kept.
class TrainValueOfRuns : public TrainValue {
 protected:
  static void SetUpTestSuite() {
    TrainValue::SetUpTestSuite();
    for (const char* name : {"first", "second"}) {
      const auto done = run(finetuning(name) + "--save_trajectories 2 --step_rewards value " +
                            "--step_value learn --value_updates 3");
      ASSERT_EQ(done.exit_code, 0) << done.complaint;
    }
  }
  static std::string finetuning(const std::string& output) {
    return "finetune grpo " + model() +
           "--prompts @/prompts.txt --reward brightness --num_epochs 2 --prompts_per_epoch 6 "
           "--images_per_prompt 2 --sample_num_steps 3 --eval_prompts 1 --eval_images 1 -o @/" +
           output + " ";
  }
  static std::string learning(const std::string& output, const std::string& runs) {
    return "train-reward value --runs " + runs +
           " --held_out 0.34 --max_train_steps 20 --train_batch_size 16 -o @/" + output + " ";
  }
};

TEST_F(TrainValueOfRuns, LearnsFromWhatTheyDrewWithoutAModel) {
  const auto made = run(learning("learnt", "@/first,@/second"));
  ASSERT_EQ(made.exit_code, 0) << made.complaint;
  const auto report = data::read_json_object(folder() / "learnt/report.json");
  EXPECT_EQ(report["training_prompts"].get<int>() + report["held_out_prompts"].get<int>(), 24);
  EXPECT_EQ(report["training_chains"].get<int>(), 2 * report["training_prompts"].get<int>());
  ASSERT_EQ(report["explained"].size(), 3u);
  EXPECT_FALSE(report["explained"][0].contains("expected"));
  EXPECT_FALSE(fs::exists(folder() / "learnt/trajectories"));
  EXPECT_EQ(data::read_json_object(folder() / "learnt/reward.json")["reward"], "brightness");
  // Again: it goes on where it was, which is the end.
  const auto weights = data::read_file(folder() / "learnt/model.safetensors");
  ASSERT_EQ(run(learning("learnt", "@/first,@/second")).exit_code, 0);
  EXPECT_EQ(data::read_file(folder() / "learnt/model.safetensors"), weights);
  const auto other = run(learning("learnt", "@/first"));
  bad_input::expect_complaint(other, {"state.safetensors: data: expected"}, folder().string());
}

TEST_F(TrainValueOfRuns, GivesNetworksThatCommandsRead) {
  ASSERT_EQ(run(learning("read", "@/first")).exit_code, 0);
  for (const std::string network : {"@/read", "@/first/value"}) {
    const auto led = run(sampling("led") + "--guide particles=2 --guide_value " + network);
    EXPECT_EQ(led.exit_code, 0) << led.complaint;
    fs::remove_all(folder() / "led");
    const auto credit = run(finetuning("credit") + "--baseline_value " + network);
    EXPECT_EQ(credit.exit_code, 0) << credit.complaint;
    fs::remove_all(folder() / "credit");
  }
}

TEST_F(TrainValueOfRuns, AreRefusedInOneLineWhereTheyDoNotFit) {
  const auto refused = [&](const std::string& arguments, const std::vector<std::string>& parts) {
    SCOPED_TRACE(arguments);
    bad_input::expect_complaint(run(arguments), parts, folder().string());
  };
  refused(learning("v", "@/value"), {"--runs @/value: expected a finetuning run that keeps"});
  refused(learning("v", "@/first") + "--chains 4",
          {"--chains: expected nothing of how chains are drawn beside --runs"});
  refused(learning("v", "@/first") + "--expected", {"--expected: expected nothing"});
  refused(learning("v", ","), {"--runs ,: expected folders of finetuning runs"});
  refused(learning("v", "@/first") + "--reward clip_score",
          {"--reward clip_score: expected a reward that", "was trained for, found brightness"});
  const fs::path epoch = folder() / "few/trajectories/epoch-00001";
  fs::create_directories(epoch);
  for (const char* file : {"reward.json", "00000.safetensors", "00001.safetensors"})
    fs::copy_file(folder() / "first/trajectories/epoch-00001" / file, epoch / file);
  refused(learning("v", "@/few"), {"--runs @/few: expected chains of at least 4 prompts, found 2"});
  data::write_file(epoch / "00000.safetensors", "damaged");
  refused(learning("v", "@/few"), {"00000.safetensors"});
  refused(finetuning("v") + "--step_rewards value --step_value learn --offline",
          {"offline: expected new images in each epoch"});
  refused(finetuning("v") + "--step_value learn",
          {"--step_value: expected --step_rewards value beside it"});
}

TEST_F(TrainValue, IsRefusedInOneLineWhereItDoesNotFit) {
  const auto refused = [&](const std::string& arguments, const std::vector<std::string>& parts) {
    SCOPED_TRACE(arguments);
    bad_input::expect_complaint(run(arguments), parts, folder().string());
  };
  refused(sampling("a") + "--guide noise=4 --reward brightness --guide_value @/value",
          {"--guide_value: expected --guide particles=K or per_step=K", "'noise=4'"});
  refused(sampling("a") + "--guide particles=4 --guide_value @/none", {"none"});
  refused(
      "sample -p 'a red circle' --device cpu --steps 4 --eta 1 -o @/a --guide particles=4 "
      "--guide_value @/value",
      {"--guide_value @/value: expected the latents that it was trained on",
       "laurel train-reward value"});
  refused("train-reward value -o @/v", {"--reward: expected a reward to learn"});
  refused(training("v") + "--eta 0", {"--eta: expected a sampling method that draws noise"});
  const std::string tuning = model() + "--prompts @/prompts.txt -o @/t ";
  refused("finetune prdp --reward brightness --step_rewards expected " + tuning,
          {"step_rewards: prdp compares whole trajectories"});
  for (const std::string branch : {"0,1", "1"}) {
    refused("finetune grpo --reward brightness --step_rewards expected --branch " + branch + " " +
                tuning,
            {"step_rewards: expected images without common steps"});
  }
  refused("finetune grpo --reward brightness --step_rewards value " + tuning,
          {"step_rewards: value: expected a network"});
  refused("finetune grpo --reward brightness --step_student x " + tuning,
          {"--step_student: expected --step_rewards student beside it, found none"});
  refused("finetune grpo --reward brightness=2 --eval_prompts 1 --baseline_value @/value " + tuning,
          {"--baseline_value @/value: expected the value of the rewards and weights of --reward",
           "brightness"});
}

}  // namespace
