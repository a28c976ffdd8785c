#pragma once

// A value network that is learnt while its chains are drawn: after each epoch a few updates on the
// last epochs' chains. What draws the chains is itself in training, so old epochs are forgotten.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <vector>

#include "data/train/train_state.hpp"
#include "rewards/value/train.hpp"

namespace rewards {

struct OnlineOptions {
  int64_t updates = 50;         // after each epoch
  int64_t batch_size = 128;     // states of an update
  int64_t replay_epochs = 4;    // whose chains are learnt from; >= 1
  double learning_rate = 1e-3;  // constant
  double weight_decay = 0.01;
};

struct OnlineValue {
  ValueNetwork network{};           // in training
  train::TrainState state{};        // of its parameters; the generator is on the CPU
  std::vector<ValueData> replay{};  // the last epochs, oldest first; latents on the CPU
  int64_t updates = 0;              // done; 0: nothing is learnt yet
};
// As the seed makes it, on a device. The reward's mean and spread in `config` come with the first
// epoch that has a prompt whose rewards differ.
OnlineValue make_online_value(const ValueConfig& config, int64_t seed, at::Device device);

// How much of an epoch the network explained before it had seen it: explained_within_prompts of
// each step. Empty where nothing was learnt yet, or no prompt's rewards differ. -> T
std::vector<double> explained_by_step(const OnlineValue& value, const ValueData& epoch);

// Forgets the oldest epoch, takes the new one in, and learns: each update from chains drawn evenly
// with replacement, each at a step drawn at random. The error is that of value_loss, centred.
// Nothing is learnt, but the epoch is kept, where no reward varies. `value` stays as it is, so that
// a failure on the way loses nothing. `tick` is called after each update.
struct OnlineStep {
  OnlineValue value;
  double loss = 0;  // mean of the updates
};
OnlineStep learn_epoch(const OnlineValue& value,
                       const ValueData& epoch,
                       const OnlineOptions& options,
                       const std::function<void()>& tick);

// All of it, in a folder: resumed from there, it learns on bit for bit. What was learnt can be read
// by load_value_network.
void save_online_value(const std::filesystem::path& folder, const OnlineValue& value);
// Into one of the same configuration. Throws BadInput for files that are missing or of another.
void load_online_value(const std::filesystem::path& folder, OnlineValue& value);

}  // namespace rewards
