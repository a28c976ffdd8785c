#include "tools/sample/sampler_choice.hpp"

#include <iostream>

#include "data/base/error.hpp"
#include "data/images/generation_parameters.hpp"

namespace tools {

diffusion::SamplerChoice settle_sampler(const std::string& method,
                                        const std::string& spacing,
                                        double eta,
                                        diffusion::Pipeline& pipeline) {
  auto& scheduler = pipeline.scheduler;
  diffusion::SamplerChoice choice{.sampler = scheduler.sampler, .sigmas = scheduler.sigmas};
  if (!method.empty()) {
    choice = diffusion::sampler_from_name(method, "--sampling_method");
    scheduler.sigmas = choice.sigmas;
  } else if (!diffusion::sampler_of_class(scheduler.class_name)) {
    std::cerr << "note: the model names " << scheduler.class_name
              << ", which is not here; sampling with DDIM\n";
  }
  if (!spacing.empty())
    scheduler.timestep_spacing = diffusion::spacing_from_name(spacing, "--timestep_spacing");
  if (eta > 0 && !diffusion::has_eta(choice.sampler)) {
    throw data::BadInput("--eta: expected 0 with " + diffusion::sampler_label(choice) + ", found " +
                         data::short_number(eta) + "; only DDIM and TCD have an eta");
  }
  return choice;
}

}  // namespace tools
