#include "tools/bench/task.hpp"

#include <memory>

#include "diffusion/pipeline/generate.hpp"

namespace bench {

std::vector<int64_t> native_latent_shape(const diffusion::Pipeline& pipeline) {
  return diffusion::latent_shape(pipeline, 0, 0);
}

finetune::TrainingTask task_of(const diffusion::Pipeline& pipeline) {
  return finetune::make_training_task(std::make_shared<diffusion::Pipeline>(pipeline));
}

}  // namespace bench
