#pragma once

// The chains that finetuning runs have kept (`laurel finetune ... --save_trajectories N`): for each
// epoch a folder, <run>/trajectories/epoch-00012, with reward.json, which says whose latents they
// are and what was rewarded, and a file for each prompt.

#include <filesystem>
#include <string>
#include <vector>

#include "rewards/value/chain_files.hpp"
#include "rewards/value/network.hpp"
#include "rewards/value/train.hpp"

namespace rewards {

// Writes one epoch's files into `folder`. Of `config` nobody reads the mean and the spread.
void write_kept_epoch(const std::filesystem::path& folder,
                      const ValueConfig& config,
                      const std::vector<ChainFile>& prompts);

// Chains whose reward is the sum of the file's rewards, weighted.  weights: M
PromptChains weighted_chains(const ChainFile& chains, const std::vector<double>& weights);

struct KeptChains {
  ValueConfig config;                // mean and spread are not measured
  std::vector<std::string> prompts;  // of each of the data's prompts; they may repeat
  ValueData data;                    // a prompt of an epoch of a run, in their order; mapped
};
// Of all epochs of these runs. `reward`: the names and weights whose sum is learnt, from among what
// the runs were trained for; "": those of the first run. Throws BadInput where a run has kept none,
// the runs do not share latents, schedule, steps and text encoder, one was not trained for the
// reward, or a file is damaged.
KeptChains read_kept_chains(const std::vector<std::filesystem::path>& runs,
                            const std::string& reward);

}  // namespace rewards
