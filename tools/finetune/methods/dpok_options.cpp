#include <memory>

#include "finetune/policy/methods/dpok_loss.hpp"
#include "tools/finetune/methods/method_options.hpp"

namespace tools {

std::function<finetune::PolicyMethod()> declare_dpok(Options& options) {
  const auto baseline = std::make_shared<std::string>("prompt");
  options.rare().choice("baseline", *baseline, {"prompt", "none"},
                        "dpok: less the mean reward of the prompt's images, or the reward itself");
  return [baseline] { return finetune::dpok_method({.baseline = *baseline == "prompt"}); };
}

}  // namespace tools
