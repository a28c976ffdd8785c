#include <memory>

#include "finetune/policy/methods/ddpo_loss.hpp"
#include "tools/finetune/methods/method_options.hpp"

namespace tools {

std::function<finetune::PolicyMethod()> declare_ddpo(Options& options) {
  const auto config = std::make_shared<finetune::DdpoConfig>();
  options.rare().number("adv_clip_max", config->adv_clip_max, "ddpo: largest advantage", 1e-6,
                        1e300);
  options.alias("train_adv_clip_max", "adv_clip_max");
  const auto group = std::make_shared<std::string>("prompt");
  options.rare().choice(
      "advantage_group", *group, {"prompt", "epoch"},
      "ddpo: rewards are normalised over the prompt's images, or all of the epoch");
  return [config, group] {
    config->advantages_of_epoch = *group == "epoch";
    return finetune::ddpo_method(*config);
  };
}

}  // namespace tools
