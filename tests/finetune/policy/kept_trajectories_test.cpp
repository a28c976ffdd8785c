#include "finetune/policy/kept_trajectories.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "data/base/files.hpp"
#include "finetune/policy/epoch_states.hpp"
#include "tests/support/fresh_folder.hpp"

namespace {

namespace fs = std::filesystem;
using finetune::EpochStates;
using finetune::KeptTrajectories;

KeptTrajectories keeping(int64_t epochs) {
  return {.epochs = epochs, .write = [](const fs::path& folder, const EpochStates& states) {
            data::write_file(folder / "states", std::to_string(states.timesteps.size()));
          }};
}

EpochStates states_of(size_t steps) {
  EpochStates states;
  states.timesteps.resize(steps);
  return states;
}

std::vector<std::string> kept_in(const fs::path& run) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(run / "trajectories"))
    names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

TEST(KeptTrajectories, AreThoseOfTheLastEpochs) {
  const fs::path run = tests::fresh_folder();
  for (int64_t epoch = 1; epoch <= 5; ++epoch)
    finetune::keep_epoch(run, epoch, keeping(2), states_of(static_cast<size_t>(epoch)));
  EXPECT_EQ(kept_in(run), (std::vector<std::string>{"epoch-00004", "epoch-00005"}));
  EXPECT_EQ(data::read_file(run / "trajectories/epoch-00005/states"), "5");
}

// As if the run had gone on from the checkpoint of epoch 2.
TEST(KeptTrajectories, OfEpochsThatCameAfterAnOlderCheckpointGo) {
  const fs::path run = tests::fresh_folder();
  for (const int64_t epoch : {1, 2, 3, 4, 5})
    finetune::keep_epoch(run, epoch, keeping(5), states_of(1));
  finetune::keep_epoch(run, 3, keeping(5), states_of(7));
  EXPECT_EQ(kept_in(run), (std::vector<std::string>{"epoch-00001", "epoch-00002", "epoch-00003"}));
  EXPECT_EQ(data::read_file(run / "trajectories/epoch-00003/states"), "7");
}

TEST(KeptTrajectories, AreWholeOrNotThere) {
  const fs::path run = tests::fresh_folder();
  finetune::keep_epoch(run, 1, keeping(3), states_of(1));
  KeptTrajectories failing = keeping(3);
  failing.write = [](const fs::path& folder, const EpochStates&) {
    data::write_file(folder / "states", "half");
    throw std::runtime_error("the disk is full");
  };
  EXPECT_THROW(finetune::keep_epoch(run, 2, failing, states_of(2)), std::runtime_error);
  EXPECT_FALSE(fs::exists(run / "trajectories/epoch-00002"));
  finetune::keep_epoch(run, 2, keeping(3), states_of(2));  // what was half written goes
  EXPECT_EQ(kept_in(run), (std::vector<std::string>{"epoch-00001", "epoch-00002"}));
}

TEST(KeptTrajectories, OfNoEpochWriteNothing) {
  const fs::path run = tests::fresh_folder();
  finetune::keep_epoch(run, 1, {}, states_of(1));
  EXPECT_TRUE(fs::is_empty(run));
}

}  // namespace
