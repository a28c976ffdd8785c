#include <memory>

#include "finetune/policy/methods/prdp_loss.hpp"
#include "tools/finetune/methods/method_options.hpp"

namespace tools {

std::function<finetune::PolicyMethod()> declare_prdp(Options& options) {
  const auto units = std::make_shared<std::string>("nat");
  options.rare().choice("units", *units, {"nat", "mean"},
                        "prdp: of beta and clip_range; mean: the paper's");
  return [units] { return finetune::prdp_method({.mean_units = *units == "mean"}); };
}

}  // namespace tools
