#include "tools/finetune/forward/rows.hpp"

namespace tools {

const std::vector<const ForwardRow*>& forward_rows() {
  static const std::vector<const ForwardRow*> rows = {&kRaftRow, &kRwrRow, &kNftRow,  &kDpoRow,
                                                      &kIpoRow,  &kKtoRow, &kSimpoRow};
  return rows;
}

finetune::ForwardConfig default_config(const ForwardRow& row) {
  finetune::ForwardConfig config;
  row.defaults(config);
  Options options(row.name, "");
  config.method = row.declare(options, config)();
  return config;
}

void declare_snr_gamma(Options& options, finetune::ForwardConfig& config) {
  options.rare().number("snr_gamma", config.snr_gamma,
                        "min-SNR weights of the timesteps; 0: all weigh the same", 0, 1e300);
}

}  // namespace tools
