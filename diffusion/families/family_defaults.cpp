#include "diffusion/families/family_defaults.hpp"

#include "diffusion/pipeline/t5_text.hpp"

namespace diffusion {

void set_family_defaults(Pipeline& pipeline, const ModelFamily& family) {
  if (pipeline.scheduler.flow) pipeline.scheduler.flow->even_times = family.even_times;
  pipeline.guidance_scale = family.guidance_scale;
  if (!pipeline.t5_text) return;
  pipeline.t5_text->alone = family.t5_alone;
  if (family.t5_alone && traits(pipeline.network).guidance)
    pipeline.t5_text->max_sequence_length = kMostT5Tokens;
}

}  // namespace diffusion
