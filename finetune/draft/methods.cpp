#include "finetune/draft/methods.hpp"

namespace finetune {
namespace {

DraftConfig draft() { return {}; }

DraftConfig alignprop() {
  DraftConfig config;
  config.last_steps = 0;
  config.random_truncation = true;
  return config;
}

// The steps 30 to 39 of 40 in the published code: the last quarter of the chain.
DraftConfig refl() {
  DraftConfig config;
  config.sample_num_steps = 20;
  config.last_steps = 5;
  config.early_x0 = true;
  return config;
}

}  // namespace

const std::vector<DraftMethod>& draft_methods() {
  static const std::vector<DraftMethod> methods = {
      {"draft", "the reward's gradient through the last steps of the chain", draft},
      {"alignprop", "the same through a random number of steps", alignprop},
      {"refl", "the reward's gradient at the x0 that a late step predicts", refl},
  };
  return methods;
}

}  // namespace finetune
