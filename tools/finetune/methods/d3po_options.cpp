#include <memory>

#include "finetune/policy/methods/d3po_loss.hpp"
#include "tools/finetune/methods/method_options.hpp"

namespace tools {

std::function<finetune::PolicyMethod()> declare_d3po(Options& options) {
  const auto config = std::make_shared<finetune::D3poConfig>();
  options.rare().number("preference_scale", config->preference_scale,
                        "d3po: logits a nat of the mean log-ratio over the latent", 1e-12, 1e12);
  return [config] { return finetune::d3po_method(*config); };
}

}  // namespace tools
