#include <memory>

#include "finetune/forward/methods/nft.hpp"
#include "tools/finetune/forward/rows.hpp"

namespace tools {
namespace {

std::function<finetune::ForwardMethod()> declare_nft(Options& options, finetune::ForwardConfig&) {
  const auto config = std::make_shared<finetune::NftConfig>();
  options.number("strength", config->strength,
                 "b: how much further than the network its two policies are", 1e-6, 1e6);
  options.rare().number("adv_clip_max", config->advantage_clip,
                        "advantage, in deviations, of the best label", 1e-6, 1e300);
  return [config] { return finetune::nft_method(*config); };
}

}  // namespace

const ForwardRow kNftRow{"nft", [](finetune::ForwardConfig& config) { config.draws = 2; },
                         declare_nft};

}  // namespace tools
