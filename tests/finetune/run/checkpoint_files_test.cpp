#include "finetune/run/checkpoint_files.hpp"

#include <gtest/gtest.h>

#include "data/base/files.hpp"
#include "finetune/policy/trainer.hpp"
#include "tests/support/refusal.hpp"
#include "tests/support/tiny/run.hpp"

namespace {

namespace fs = std::filesystem;

// As sha256sum prints them: FIPS 180-4's example "abc", and the empty text.
constexpr const char* kAbc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
constexpr const char* kEmpty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fs::path checkpoint(const std::string& name) {
  const fs::path folder = tests::fresh_folder(name);
  data::write_file(folder / "unet" / "weights", "abc");
  data::write_file(folder / "state.safetensors", "");
  finetune::write_digests(folder);
  return folder;
}

TEST(CheckpointFiles, ListsDigestsWithTheStateLast) {
  const fs::path folder = checkpoint("listed");
  EXPECT_EQ(data::read_file(folder / "SHA256SUMS"),
            std::string(kAbc) + "  unet/weights\n" + kEmpty + "  state.safetensors\n");
  EXPECT_EQ(finetune::damage_of(folder), "");
}

TEST(CheckpointFiles, SayWhatIsDamaged) {
  const fs::path folder = checkpoint("damaged");
  const std::string list = data::read_file(folder / "SHA256SUMS");
  for (size_t length = 0; length < list.size(); ++length) {  // cut anywhere
    data::write_file(folder / "SHA256SUMS", list.substr(0, length));
    EXPECT_EQ(finetune::damage_of(folder).empty(), length + 1 == list.size()) << length;
  }
  data::write_file(folder / "SHA256SUMS", list);
  data::write_file(folder / "unet" / "weights", "abd");
  EXPECT_EQ(finetune::damage_of(folder), "unet/weights: its SHA-256 is not the one in SHA256SUMS");
  fs::remove(folder / "unet" / "weights");
  EXPECT_EQ(finetune::damage_of(folder), "unet/weights is missing");
  const std::string long_name(300, 'a');
  data::write_file(folder / "SHA256SUMS", std::string(kAbc) + "  " + long_name + "\n");
  EXPECT_EQ(finetune::damage_of(folder), long_name + " is missing");
  fs::remove(folder / "SHA256SUMS");
  EXPECT_EQ(finetune::damage_of(folder), "");  // of a version without digests
}

TEST(CheckpointFiles, AreRemovedWhole) {
  const fs::path folder = tests::fresh_folder("places");
  data::write_file(folder / "checkpoint-2" / "file", "x");
  finetune::remove_checkpoint(folder / "checkpoint-2");
  EXPECT_TRUE(fs::is_empty(folder));
}

// Cuts the newest checkpoint's state in half.
void tear(const fs::path& file) { fs::resize_file(file, fs::file_size(file) / 2); }

TEST(CheckpointFiles, ADamagedOneNamesTheOneBeforeFromWhichLatestGoodGoesOn) {
  finetune::FinetuneConfig config = tests::tiny_config();
  config.checkpointing_steps = 1;
  config.num_epochs = 3;
  const finetune::TrainingTask task = tests::tiny_task();
  const auto run = [&](const fs::path& folder, const std::string& resume) {
    finetune::run_finetune(task, config, tests::run_options(folder, "prdp", config.seed, resume),
                           tests::reporter_into(nullptr));
  };
  const fs::path whole = tests::fresh_folder("whole"), torn = tests::fresh_folder("torn");
  run(whole, "");
  run(torn, "latest-good");  // none yet: a new run
  const std::string newest = finetune::checkpoints(torn).back().filename().string();
  const std::string before = finetune::checkpoints(torn)[1].string();
  tear(torn / newest / "state.safetensors");
  for (const std::string& name : {std::string("latest"), newest}) {
    const std::string said = refusal([&] { run(torn, name); });
    EXPECT_NE(said.find(newest + ": expected"), std::string::npos) << said;
    EXPECT_NE(said.find("go on from " + before), std::string::npos) << said;
  }
  run(torn, "latest-good");
  tests::expect_same_tensors(whole / newest / "state.safetensors",
                             torn / newest / "state.safetensors");
  EXPECT_EQ(finetune::damage_of(torn / newest), "");
  for (const auto& each : finetune::checkpoints(torn)) tear(each / "state.safetensors");
  EXPECT_NE(refusal([&] { run(torn, "latest-good"); }).find("no whole one is left"),
            std::string::npos);
}

}  // namespace
