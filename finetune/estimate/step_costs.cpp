#include "finetune/estimate/step_costs.hpp"

#include <ATen/ATen.h>

#include "data/device/memory.hpp"
#include "data/profile/flops.hpp"
#include "data/profile/meta_kernels.hpp"
#include "finetune/estimate/trial_run.hpp"

namespace finetune {
namespace {

// The task with a network of shapes alone, all fp32: libtorch's autocast does not know the meta
// device. Prompts and source images are encoded as ever.
TrainingTask of_shapes(const TrainingTask& task) {
  data::use_meta_kernels();
  TrainingTask shapes = task;
  shapes.device = at::kMeta;
  for_each_tensor(shapes.unet, "", [](const std::string&, at::Tensor& tensor) {
    tensor = at::empty_like(tensor, tensor.options().device(at::kMeta).dtype(at::kFloat));
  });
  return shapes;
}

}  // namespace

StepCosts step_costs(const TrainingTask& task, const FinetuneConfig& config, int64_t images) {
  FinetuneConfig whole = config;  // one micro-batch
  whole.sample_batch_size = whole.train_batch_size = images;
  const TrainingTask shapes = of_shapes(task);
  TrialRun probe = make_trial_run(shapes, whole, {images, 1, task.latent_shape});
  const auto count = static_cast<double>(probe.plan.draw.seeds.size());
  const auto cost = [&](const std::function<void()>& work) {
    const auto flops = data::count_flops(work);
    train::zero_grad(probe.optimizer.state.params);
    int64_t device = 0;  // and noise, which is the CPU's own
    const int64_t host = data::peak_tensor_bytes([&] { device = data::peak_meta_bytes(work); });
    return StepCost{static_cast<double>(flops) / count,
                    static_cast<double>(device + (task.device.is_cpu() ? host : 0))};
  };
  Trajectories drawn;
  StepCosts costs;
  costs.draw = cost([&] { drawn = draw(probe); });
  costs.update = cost([&] { add_gradient(probe, drawn); });
  return costs;
}

}  // namespace finetune
