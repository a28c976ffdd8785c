#include <memory>

#include "finetune/policy/methods/grpo_loss.hpp"
#include "tools/finetune/methods/method_options.hpp"

namespace tools {

std::function<finetune::PolicyMethod()> declare_grpo(Options& options) {
  const auto config = std::make_shared<finetune::GrpoConfig>();
  const auto scale = std::make_shared<std::string>("prompt");
  options.rare().choice("advantage", *scale, {"prompt", "epoch", "none"},
                        "grpo: divide rewards by the deviation of the prompt's images, of all "
                        "images of the epoch, or not");
  options.rare().flag("leave_one_out", config->leave_one_out,
                      "grpo: compare an image with the prompt's other images");
  options.rare().number("kl_coefficient", config->kl_coefficient,
                        "grpo: advantage a nat of KL from the start costs", 0, 1e300);
  return [config, scale] {
    config->prompt_deviation = *scale == "prompt";
    config->epoch_deviation = *scale == "epoch";
    return finetune::grpo_method(*config);
  };
}

}  // namespace tools
