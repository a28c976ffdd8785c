#pragma once

// The options of each forward-process method, beside those that all have.

#include <functional>
#include <vector>

#include "finetune/forward/config.hpp"
#include "tools/cli/options.hpp"

namespace tools {

struct ForwardRow {
  const char* name;  // of finetune::forward_methods()
  void (*defaults)(finetune::ForwardConfig& config);
  // Declares the method's own options; what it returns makes the method of their values. Throws
  // BadInput for values that do not go together.
  std::function<finetune::ForwardMethod()> (*declare)(Options& options,
                                                      finetune::ForwardConfig& config);
};

extern const ForwardRow kRaftRow, kRwrRow, kNftRow, kDpoRow, kIpoRow, kKtoRow, kSimpoRow;

// In the order of --help.
const std::vector<const ForwardRow*>& forward_rows();

// What the row's command trains by without options.
finetune::ForwardConfig default_config(const ForwardRow& row);

// --snr_gamma
void declare_snr_gamma(Options& options, finetune::ForwardConfig& config);

}  // namespace tools
