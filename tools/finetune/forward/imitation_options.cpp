#include <memory>

#include "data/base/error.hpp"
#include "finetune/forward/methods/imitation.hpp"
#include "tools/finetune/forward/rows.hpp"

namespace tools {
namespace {

void declare_distance(Options& options, finetune::ImitationConfig& config) {
  options.rare().number("distance_coefficient", config.distance_coefficient,
                        "loss a unit of squared distance to the starting model's output costs", 0,
                        1e300);
}

std::function<finetune::ForwardMethod()> declare_raft(Options& options,
                                                      finetune::ForwardConfig& training) {
  const auto config = std::make_shared<finetune::RaftConfig>();
  options.integer("keep", config->keep, "best images of each prompt that are imitated", 1, 65535);
  options.integer("memory", config->memory,
                  "best images ever drawn of a prompt that compete with its new ones; 0: none", 0,
                  1024);
  declare_distance(options, *config);
  declare_snr_gamma(options, training);
  return [config, &training] {
    if (config->keep >= training.images_per_prompt)
      throw data::BadInput("keep: expected fewer than images_per_prompt (" +
                           std::to_string(training.images_per_prompt) + "), found " +
                           std::to_string(config->keep) + "; else nothing is chosen");
    return finetune::raft_method(*config);
  };
}

std::function<finetune::ForwardMethod()> declare_rwr(Options& options,
                                                     finetune::ForwardConfig& training) {
  const auto config = std::make_shared<finetune::RwrConfig>();
  options.number("temperature", config->temperature,
                 "of exp(reward), in spreads of the reward within a prompt at the start", 1e-6,
                 1e300);
  declare_distance(options, *config);
  declare_snr_gamma(options, training);
  return [config] { return finetune::rwr_method(*config); };
}

}  // namespace

const ForwardRow kRaftRow{"raft",
                          [](finetune::ForwardConfig& config) {
                            config.draws = 8;
                            config.snr_gamma = 5;
                          },
                          declare_raft};
const ForwardRow kRwrRow{"rwr",
                         [](finetune::ForwardConfig& config) {
                           config.draws = 2;
                           config.snr_gamma = 5;
                         },
                         declare_rwr};

}  // namespace tools
