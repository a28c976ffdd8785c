// The commands score, inspect and doctor as a program.

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "data/images/image_io.hpp"
#include "data/weights/safetensors.hpp"
#include "tests/support/paths.hpp"

namespace {

namespace fs = std::filesystem;

struct Outcome {
  int code = -1;
  std::string output;  // stdout and stderr
};

Outcome run(const std::string& arguments, const std::string& environment = "") {
  Outcome outcome;
  FILE* pipe = popen(
      (environment + "OMP_NUM_THREADS=1 " + tests::program() + " " + arguments + " 2>&1").c_str(),
      "r");
  std::array<char, 4096> buffer;
  while (const size_t count = fread(buffer.data(), 1, buffer.size(), pipe))
    outcome.output.append(buffer.data(), count);
  outcome.code = WEXITSTATUS(pclose(pipe));
  return outcome;
}

bool contains(const Outcome& outcome, const std::string& text) {
  return outcome.output.find(text) != std::string::npos;
}

int64_t lines_of(const std::string& text) { return std::count(text.begin(), text.end(), '\n'); }

class Cli : public testing::Test {
 protected:
  void SetUp() override {
    fs::create_directories(folder_);
    data::write_png(folder_ / "dark.png", at::full({3, 16, 16}, 0.2),
                    {{"parameters", "a cat\nSteps: 20, Size: 16x16"}});
    data::write_png(folder_ / "light.png", at::full({3, 16, 16}, 0.8));
    data::write_png(folder_ / "wide.png", at::full({3, 16, 32}, 0.4));
  }
  void TearDown() override { fs::remove_all(folder_); }
  std::string at_folder(const std::string& name) const { return (folder_ / name).string(); }
  const fs::path folder_ =
      fs::path(testing::TempDir()) / ("laurel_cli_" + std::to_string(getpid()));
};

TEST_F(Cli, ScoreMakesTheSameTableWhateverTheBatch) {
  const auto one =
      run("score " + folder_.string() + " --rewards brightness,colourfulness --batch-size 1");
  EXPECT_EQ(one.code, 0) << one.output;
  EXPECT_TRUE(contains(one, "0.8000")) << one.output;
  EXPECT_TRUE(contains(one, "mean of 3"));
  EXPECT_EQ(run("score " + folder_.string() + " --rewards brightness,colourfulness --batch-size 8")
                .output,
            one.output);
  EXPECT_EQ(run("score " + at_folder("wide.png") + " '" + at_folder("*.png") +
                "' --rewards brightness,colourfulness")
                .output,
            one.output);
}

TEST_F(Cli, ScoreSortsAndKeepsTheTop) {
  const auto top = run("score " + folder_.string() +
                       " --rewards brightness=1 --format jsonl --sort brightness --top 1");
  EXPECT_EQ(top.code, 0) << top.output;
  const auto line = data::parse_json(top.output);
  EXPECT_EQ(line["file"].get<std::string>(), at_folder("light.png"));
  EXPECT_NEAR(line["rewards"]["brightness"].get<double>(), 0.8, 1e-3);
}

TEST_F(Cli, ScoreNamesABadImageAndRatesTheOthers) {
  std::ofstream(folder_ / "broken.png") << "not a picture";
  const auto outcome = run("score " + folder_.string() + " --rewards brightness");
  EXPECT_EQ(outcome.code, 2);
  EXPECT_TRUE(contains(outcome, "broken.png"));
  EXPECT_TRUE(contains(outcome, "1 of 4 images not scored"));
  EXPECT_TRUE(contains(outcome, "mean of 3")) << outcome.output;
}

TEST_F(Cli, ScoreWritesIntoThePngAndIntoAFile) {
  const auto outcome =
      run("score " + at_folder("dark.png") + " --rewards brightness --write-png --format csv -o " +
          at_folder("scores.csv"));
  EXPECT_EQ(outcome.code, 0) << outcome.output;
  EXPECT_EQ(outcome.output, "");
  const auto text = data::read_png_text(folder_ / "dark.png").at("parameters");
  EXPECT_EQ(text, "a cat\nSteps: 20, Size: 16x16, Brightness Score: 0.2000");
  EXPECT_TRUE(data::read_file(folder_ / "scores.csv").starts_with("file,prompt,brightness,"));
}

TEST_F(Cli, StandardOutputThatIsFullIsAnError) {
  for (const std::string& command :
       {"score " + folder_.string() + " --rewards brightness", std::string("--help"),
        std::string("world edit-scores --help")}) {
    const auto outcome = run(command + " 2>&1 > /dev/full #");
    EXPECT_EQ(outcome.code, 2) << command;
    EXPECT_TRUE(contains(outcome, "standard output cannot be written")) << outcome.output;
  }
}

TEST_F(Cli, ScoreRefusesWhatItCannotDo) {
  const auto unknown = run("score " + folder_.string() + " --rewards brigthness");
  EXPECT_EQ(unknown.code, 2);
  EXPECT_TRUE(contains(unknown, "did you mean brightness?")) << unknown.output;
  EXPECT_EQ(lines_of(unknown.output), 1);
  EXPECT_EQ(run("score --rewards brightness").code, 2);
  EXPECT_EQ(run("score " + at_folder("none.png") + " --rewards brightness").code, 2);
  EXPECT_EQ(run("score " + folder_.string() + " --rewards brightness --sort oracle").code, 2);
  EXPECT_EQ(run("score " + folder_.string() + " --rewards brightness --batch-size 0").code, 2);
}

TEST_F(Cli, ScoreAsksForPromptsThatItNeeds) {
  const auto outcome = run("score " + at_folder("light.png") + " --rewards oracle");
  EXPECT_EQ(outcome.code, 2);
  EXPECT_TRUE(contains(outcome, "light.png: no prompt found")) << outcome.output;
  const auto given =
      run("score " + at_folder("light.png") + " --rewards oracle --prompt 'a red circle'");
  EXPECT_EQ(given.code, 0) << given.output;
  EXPECT_TRUE(contains(
      run("score " + at_folder("light.png") + " --rewards oracle --prompt 'a cat'"), "cat"));
}

TEST_F(Cli, ScoreListsItsRewards) {
  const auto outcome = run("score --list");
  EXPECT_EQ(outcome.code, 0);
  for (const char* name :
       {"aesthetic", "clip_score", "oracle", "brightness", "jpeg_compressibility"})
    EXPECT_TRUE(contains(outcome, name)) << name;
}

TEST_F(Cli, InspectTellsWhatAFileIs) {
  data::Weights file;
  file.tensors = {{"weight", at::ones({1, 6})}, {"bias", at::full({1}, NAN)}};
  file.metadata = {{"modelspec.title", "mine"}};
  data::write_safetensors(folder_ / "head.safetensors", file);
  const auto outcome = run("inspect " + at_folder("head.safetensors") + " --tensors");
  EXPECT_EQ(outcome.code, 0) << outcome.output;
  EXPECT_TRUE(contains(outcome, "aesthetic head (LAION v1, linear)"));
  EXPECT_TRUE(contains(outcome, "F32 [1, 6]"));
  EXPECT_TRUE(contains(outcome, "modelspec.title = mine"));
  const auto json = data::parse_json(run("inspect --json " + at_folder("head.safetensors")).output);
  EXPECT_EQ(json[0]["metadata"]["modelspec.title"].get<std::string>(), "mine");
  const auto check = run("inspect --check " + at_folder("head.safetensors"));
  EXPECT_EQ(check.code, 1);
  EXPECT_TRUE(contains(check, "not finite: bias"));
  EXPECT_TRUE(contains(run("inspect " + at_folder("dark.png")), "parameters = a cat"));
}

TEST_F(Cli, InspectReadsTorchFilesAndRefusesCodeAndNothing) {
  const std::string golden = std::string(tests::source_dir()) + "/tests/golden/torch_files/";
  const auto tensors = run("inspect --tensors " + golden + "lightning.ckpt");
  EXPECT_EQ(tensors.code, 0) << tensors.output;
  EXPECT_TRUE(contains(tensors, "BF16 [2, 2]")) << tensors.output;
  const auto code = run("inspect " + golden + "code.ckpt");
  EXPECT_EQ(code.code, 2);
  EXPECT_TRUE(contains(code, "posix.system")) << code.output;
  EXPECT_EQ(run("inspect " + at_folder("gone.safetensors")).code, 2);
  EXPECT_EQ(run("inspect").code, 2);
  EXPECT_EQ(run("inspect " + folder_.string()).code, 2);  // images only
}

TEST_F(Cli, DoctorMeasuresAndSaysWhatToDo) {
  const auto json = run("doctor --json");
  const auto findings = data::parse_json(json.output);
  bool models = false, problem = false;
  for (const auto& finding : findings) {
    models |= finding["name"] == "models" &&
              finding["value"].get<std::string>().ends_with("tiny-world-edit, tiny-world-flow");
    problem |= finding["verdict"] == "problem";
    if (finding["verdict"] == "problem") {
      EXPECT_NE(finding["advice"], "") << finding;
    }
  }
  EXPECT_TRUE(models);
  EXPECT_EQ(json.code, problem ? 1 : 0);
  const auto lost = run("doctor", "LAUREL_MODELS=/nowhere ");
  EXPECT_EQ(lost.code, 1);
  EXPECT_TRUE(contains(lost, "LAUREL_MODELS")) << lost.output;
}

TEST_F(Cli, LostModelsAreToldHowToBeFound) {
  for (const char* command : {"sample --prompt x", "bench", "finetune prdp --output-dir lost"}) {
    const auto lost = run(command, "LAUREL_MODELS=/nowhere ");
    EXPECT_EQ(lost.code, 2) << command;
    EXPECT_TRUE(contains(lost, "set LAUREL_MODELS")) << lost.output;
  }
}

// The help of every command fits one screen: 50 lines of 120 columns.
TEST_F(Cli, HelpFitsAScreen) {
  EXPECT_EQ(run("--help").code, 0);
  for (const char* command :
       {"sample", "score", "train-reward aesthetic", "finetune prdp", "pretrain vae",
        "pretrain clip", "world", "gallery", "inspect", "doctor"}) {
    const auto help = run(std::string(command) + " --help");
    EXPECT_EQ(help.code, 0) << command;
    EXPECT_LE(lines_of(help.output), 50) << command;
    std::istringstream lines(help.output);
    for (std::string line; std::getline(lines, line);)
      EXPECT_LE(line.size(), 120u) << command << ": " << line;
  }
  EXPECT_TRUE(contains(run("finetune prdp --help-all"), "--adam-beta2"));
  EXPECT_FALSE(contains(run("finetune prdp --help"), "--adam-beta2"));
}

}  // namespace
