#pragma once

// The settings of networks, inferred from the shapes of their tensors, as single files hold no
// config.json. What shapes do not show follows the family's row (families.hpp) or a hint.

#include <cstdint>
#include <optional>
#include <string>

#include "data/nn/clip_text.hpp"
#include "data/weights/tensor_map.hpp"
#include "diffusion/checkpoints/ldm_layout.hpp"
#include "diffusion/families/ldm_hints.hpp"
#include "diffusion/networks/unet/config.hpp"
#include "diffusion/networks/vae/vae.hpp"
#include "diffusion/sampling/scheduler_config.hpp"

namespace diffusion {

// `part`: the tensors of one part in diffusers' names (take_part). Each throws BadInput, naming the
// tensor, when one that shows the structure is missing. `pooled_width`: of SDXL's pooled text; 0:
// that of OpenCLIP-bigG.
UNetConfig unet_config_of(const data::Weights& part,
                          const ModelFamily& family,
                          const LdmHints& hints,
                          int64_t pooled_width = 0);
// Sets what depends on how the UNet predicts: the size that it was trained at, and the upcast
// attention of Stable Diffusion 2.1.
void set_prediction(UNetConfig& config, const ModelFamily& family, const LdmHints& hints);
// Of the VAE that the family was trained with.
double scaling_factor_of(const ModelFamily& family, const LdmHints& hints);
VaeConfig vae_config_of(const data::Weights& part,
                        const ModelFamily& family,
                        const LdmHints& hints);
// `open_clip`: it was OpenCLIP's tower (GELU by erf). `heads`: 0: the width by 64.
nn::ClipTextConfig text_config_of(const data::Weights& part, bool open_clip, int64_t heads);

// The schedule that the family was trained with and the sampler that its diffusers folder names.
SchedulerConfig scheduler_config_of(const UNetConfig& unet,
                                    const ModelFamily& family,
                                    const LdmHints& hints);
SchedulerConfig flow_scheduler_of(const ModelFamily& family, bool dynamic_shift);

}  // namespace diffusion
