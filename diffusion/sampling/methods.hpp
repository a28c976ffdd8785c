#pragma once

// The tables of the methods, each as sampler_table of samplers.hpp has it.

#include "diffusion/sampling/sigma_schedule.hpp"

namespace diffusion {

SamplerTable euler_table(const NoiseSchedule& schedule, const SamplerOptions& options);
SamplerTable heun_table(const NoiseSchedule& schedule, const SamplerOptions& options);
SamplerTable dpm_sde_table(const NoiseSchedule& schedule, const SamplerOptions& options);
SamplerTable dpm_multistep_table(const NoiseSchedule& schedule, const SamplerOptions& options);
SamplerTable dpm_singlestep_table(const NoiseSchedule& schedule, const SamplerOptions& options);
SamplerTable unipc_table(const NoiseSchedule& schedule, const SamplerOptions& options);
SamplerTable ddpm_table(const NoiseSchedule& schedule, const SamplerOptions& options);
SamplerTable pndm_table(const NoiseSchedule& schedule, const SamplerOptions& options);
SamplerTable lcm_table(const NoiseSchedule& schedule, const SamplerOptions& options);
SamplerTable tcd_table(const NoiseSchedule& schedule, const SamplerOptions& options);

}  // namespace diffusion
