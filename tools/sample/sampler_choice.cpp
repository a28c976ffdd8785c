#include "tools/sample/sampler_choice.hpp"

#include "data/base/error.hpp"
#include "data/base/log.hpp"
#include "data/images/generation_parameters.hpp"

namespace tools {
namespace {

// "DDIM and TCD"
std::string with_eta() {
  std::string names;
  for (const diffusion::Sampler* row : diffusion::samplers()) {
    if (row->has_eta) names += (names.empty() ? "" : " and ") + std::string(row->label);
  }
  return names;
}

}  // namespace

diffusion::SamplerChoice resolve_sampler(const std::string& method,
                                         const std::string& spacing,
                                         double eta,
                                         diffusion::Pipeline& pipeline) {
  auto& scheduler = pipeline.scheduler;
  diffusion::SamplerChoice choice{.sampler = scheduler.sampler,
                                  .sigma_schedule = scheduler.sigma_schedule};
  if (!method.empty()) {
    choice = diffusion::sampler_from_name(method, "--sampling_method");
    scheduler.sigma_schedule = choice.sigma_schedule;
  } else if (diffusion::sampler_of_class(scheduler.class_name) == nullptr) {
    data::log_info("note: the model names " + scheduler.class_name +
                   ", which laurel lacks; sampling with DDIM");
  }
  if (!spacing.empty())
    scheduler.timestep_spacing = diffusion::spacing_from_name(spacing, "--timestep_spacing");
  if (eta > 0 && !choice.sampler->has_eta) {
    throw data::BadInput("--eta: expected 0 with " + diffusion::sampler_label(choice) + ", found " +
                         data::short_number(eta) + "; only " + with_eta() + " have an eta");
  }
  return choice;
}

}  // namespace tools
