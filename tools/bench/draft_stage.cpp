#include "tools/bench/draft_stage.hpp"

#include <ATen/ATen.h>

#include <memory>

#include "finetune/draft/chain_gradient.hpp"
#include "finetune/task/optimizer.hpp"
#include "finetune/task/trained_parameters.hpp"
#include "tools/bench/random_model.hpp"
#include "tools/bench/task.hpp"

namespace bench {
namespace {

// The data of a step. The policy refers to the network: do not move it.
struct DraftWork {
  finetune::TrainingTask task;
  finetune::DraftConfig config;
  diffusion::Network network;
  finetune::Optimizer optimizer;
  finetune::DraftChain chain;
  finetune::DraftBatch batch;
  finetune::Denoiser policy;
};

rewards::Reward mean_pixel() {
  return {{.name = "mean", .differentiable = true}, [](const rewards::RewardBatch& batch) {
            return batch.images.mean({1, 2, 3});
          }};
}

}  // namespace

BenchStage draft_stage(const diffusion::Pipeline& pipeline, const StageOptions& options) {
  auto work = std::make_shared<DraftWork>();
  work->task = task_of(pipeline);
  work->task.rewards = {{mean_pixel(), 1.0}};
  work->config.learning_rate = 1e-6;
  work->config.train_batch_size = options.images;
  work->config.sample_num_steps = options.update_steps;
  work->config.gradient_checkpointing = options.gradient_checkpointing;
  work->network = work->task.unet;
  work->optimizer = finetune::make_optimizer(
      work->config, finetune::trained_parameters(work->network, work->config), 1000);
  work->chain = finetune::make_draft_chain(work->config, work->task.pipeline->scheduler);
  for (const auto& prompt : some_prompts(options.images)) {
    const auto k = static_cast<int64_t>(work->batch.prompts.size());
    work->batch.prompts.push_back({prompt});
    work->batch.draw.prompt_ids.push_back(k);
    work->batch.draw.seeds.push_back(static_cast<uint64_t>(k));
  }
  work->policy =
      finetune::policy_on(work->task, work->network, work->batch.prompts, options.guidance);
  return {"DRaFT step", options.images, [work] {
            finetune::add_chain_gradient(work->task, work->config, work->chain, work->policy, {},
                                         work->batch, work->optimizer.state.generator);
            finetune::take_step(work->optimizer);
          }};
}

}  // namespace bench
