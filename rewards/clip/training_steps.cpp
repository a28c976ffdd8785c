#include "rewards/clip/training_steps.hpp"

namespace rewards {

void run_steps(train::Loop& loop,
               const TrainingSteps& steps,
               const std::function<void(const std::string&)>& print) {
  StepMetrics metrics;
  std::string validated;
  train::run(loop, {.update = [&] { metrics = steps.update(); },
                    .validate = [&] { validated += steps.validate(); },
                    .report =
                        [&] {
                          print(steps.report(metrics) + validated);
                          validated.clear();
                        }});
}

}  // namespace rewards
