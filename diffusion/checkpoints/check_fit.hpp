#pragma once

#include <string>

#include "diffusion/families/families.hpp"
#include "diffusion/pipeline/pipeline.hpp"

namespace diffusion {

// Throws BadInput, naming `source`, when the parts are of different families or their sizes differ.
void check_fit(const Pipeline& pipeline, const std::string& source);

// Throws BadInput, naming `source`, when the family's networks say a velocity and the scheduler has
// no levels of flow matching. The other way round is no error: UNets are tuned to say velocities.
void check_scheduler(const ModelFamily& family,
                     const SchedulerConfig& scheduler,
                     const std::string& source);

}  // namespace diffusion
