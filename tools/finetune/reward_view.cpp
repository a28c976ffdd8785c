#include "tools/finetune/reward_view.hpp"

#include <vector>

namespace tools {
namespace {

struct View {
  const char* name;
  finetune::RewardView view;
};
constexpr View kViews[] = {{"whole", finetune::RewardView::kWhole},
                           {"crop", finetune::RewardView::kCrop},
                           {"half", finetune::RewardView::kHalf}};

}  // namespace

void declare_reward_view(Options& options, std::string& view) {
  std::vector<std::string> names;
  for (const View& known : kViews) names.emplace_back(known.name);
  options.rare().choice("reward_view", view, names,
                        "decode the latent whole, a window of it, or at half size");
}

finetune::RewardView reward_view_of(const std::string& view) {
  for (const View& known : kViews) {
    if (view == known.name) return known.view;
  }
  return kViews[0].view;
}

}  // namespace tools
