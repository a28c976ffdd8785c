#include "tools/finetune/policy_run.hpp"

#include <iostream>

#include "finetune/compare/gradient_cosines.hpp"
#include "finetune/draft/methods.hpp"
#include "finetune/estimate/forecast.hpp"
#include "finetune/estimate/memory.hpp"
#include "finetune/policy/trainer.hpp"
#include "tools/cli/console/run_console.hpp"
#include "tools/cli/models.hpp"
#include "tools/finetune/forward/rows.hpp"
#include "tools/finetune/task.hpp"
#include "tools/finetune/value_learner.hpp"

namespace tools {
namespace {

// Of all methods: those of policy gradients with the options that they were given, the others,
// where the model makes images from text alone, with their defaults.
void print_cosines(const FinetuneCommand& command, const finetune::TrainingTask& task) {
  finetune::ComparedMethods methods;
  for (const auto& method : command.methods) methods.policy.push_back(method.make());
  if (command.edits.empty()) {
    for (const ForwardRow* row : forward_rows()) methods.forward.push_back(default_config(*row));
    methods.draft = finetune::draft_methods();
  }
  std::cout << finetune::cosines_text(finetune::gradient_cosines(task, command.config, methods));
}

}  // namespace

int run_policy(const finetune::ProcessGroup& ranks,
               FinetuneCommand& command,
               const Options& options) {
  const Placement placement = open_device(command.device, ranks.local_rank);
  const PrecisionScope precision(placement);
  finetune::TrainingTask task = make_task(command, command.config, placement);
  resolve_guidance(*task.pipeline, options, command.config.sample_guidance_scale);
  task.config_text = finetune_configuration(command, options);
  if (!command.config.train_full && placement.compute != at::kFloat)
    task.unet = diffusion::with_compute_dtype(task.unet, placement.compute);
  command.config.credit = make_step_credit(command.credit, task, command.config);
  if (command.config.keep.epochs > 0) command.config.keep.write = states_writer(task);
  Console console;
  const finetune::Reporter reporter = ranks.rank == 0 ? console.reporter() : finetune::Reporter();
  if (!command.max_memory.empty()) {
    command.config = finetune::fit_memory(task, command.config,
                                          memory_limit(command.max_memory, task.device), reporter);
    task.config_text = finetune_configuration(command, options);
  } else if (!task.device.is_cpu()) {
    finetune::expect_memory(task, command.config, memory_limit("", task.device));
  }
  if (command.dry_run) {
    if (ranks.rank == 0)
      std::cout << finetune::forecast_text(finetune::forecast(task, command.config));
    return 0;
  }
  if (command.compare_gradients) {
    if (ranks.rank == 0) print_cosines(command, task);
    return 0;
  }
  finetune::RunOptions run;
  run.folder = command.output_dir;
  run.resume_from = command.resume_from_checkpoint;
  run.record = {command.config.method.name, task.model,          command.reward,
                placement.device.str(),     command.config.seed, task.synthetic};
  run.stop_requested = stop_on_signal();
  run.ranks = ranks;
  const auto result = finetune::run_finetune(task, command.config, run, reporter);
  const char* base = command.config.method.imitated_guidance > 0 ? "guided start" : "start";
  if (ranks.rank == 0) print_result(result, "epochs", base, command.output_dir);
  return exit_code_of(result);
}

}  // namespace tools
