#include "finetune/forward/methods/forward_methods.hpp"

#include "finetune/forward/methods/imitation.hpp"
#include "finetune/forward/methods/nft.hpp"
#include "finetune/forward/methods/preference.hpp"

namespace finetune {

const std::vector<ForwardMethod>& forward_methods() {
  static const std::vector<ForwardMethod> methods = {raft_method(), rwr_method(), nft_method(),
                                                     dpo_method(),  ipo_method(), kto_method(),
                                                     simpo_method()};
  return methods;
}

}  // namespace finetune
