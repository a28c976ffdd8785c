#include "tools/finetune/methods/method_options.hpp"

// clang-format off
#define LAUREL_METHODS(row) \
  row(declare_prdp) \
  row(declare_ddpo) \
  row(declare_dpok) \
  row(declare_grpo) \
  row(declare_d3po)
// clang-format on

namespace tools {

#define LAUREL_DECLARE(name) std::function<finetune::PolicyMethod()> name(Options& options);
LAUREL_METHODS(LAUREL_DECLARE)

const std::vector<DeclareMethod>& method_options() {
#define LAUREL_ADDRESS(name) name,
  static const std::vector<DeclareMethod> rows = {LAUREL_METHODS(LAUREL_ADDRESS)};
  return rows;
}

}  // namespace tools
