#pragma once

// The last epochs' trajectories, kept in the run's folder for what learns from them later: a folder
// for each epoch, trajectories/epoch-00012.

#include <cstdint>
#include <filesystem>
#include <functional>

namespace finetune {

struct EpochStates;  // finetune/policy/epoch_states.hpp

struct KeptTrajectories {
  int64_t epochs = 0;  // the last ones; 0: none
  // Writes the files of an epoch into a folder that is there.
  std::function<void(const std::filesystem::path& folder, const EpochStates& states)> write{};
};

// Writes <run>/trajectories/epoch-<epoch> whole or not at all, and removes those of other epochs
// than (epoch - keep.epochs, epoch]: a run that goes on from an older checkpoint leaves what an
// uninterrupted one does. Does nothing where keep.epochs is 0.
void keep_epoch(const std::filesystem::path& run,
                int64_t epoch,
                const KeptTrajectories& keep,
                const EpochStates& states);

}  // namespace finetune
