// laurel distill: a teacher's guided sampling in a few steps, drawn towards a reward.

#include "tools/finetune/distill/command.hpp"

#include <filesystem>
#include <iostream>

#include "data/base/error.hpp"
#include "finetune/distill/distill.hpp"
#include "finetune/distill/estimate.hpp"
#include "tools/cli/captioned_data.hpp"
#include "tools/cli/console/run_console.hpp"
#include "tools/cli/run_in_ranks.hpp"
#include "tools/finetune/distill/options.hpp"
#include "tools/finetune/task.hpp"

namespace tools {
namespace {

namespace fs = std::filesystem;

// Opens the folder of images, if there is one, and takes its captions for prompts. `native`: the
// model's own resolution, for a command that names none.
data::ImageFolder open_data(DistillCommand& command, int64_t native) {
  if (command.data.empty() || command.data == "world") return {};
  data::ImageFolder images = open_training_images(
      command.data, {.resolution = command.resolution > 0 ? command.resolution : native,
                     .require_captions = true});
  command.captions = images.captions;
  return images;
}

finetune::EncodedImages encode(const DistillCommand& command,
                               const data::ImageFolder& images,
                               const diffusion::Pipeline& pipeline,
                               const finetune::Reporter& reporter) {
  const CaptionedData data = images.files.empty()
                                 ? world_data(command.images, command.config.seed, false)
                                 : folder_data(images, command.data, 0, false);
  return encoded_images(pipeline.vae, pipeline.source.string(), data,
                        {.count = data.count, .num_workers = 1, .batch_size = 64}, command.latents,
                        reporter.say);
}

// A student is taught on betas' levels; there is no loss here for flow matching's.
void check_teacher(const diffusion::Pipeline& pipeline) {
  if (!pipeline.scheduler.flow && !pipeline.t5_text) return;
  throw data::BadInput(pipeline.source.string() +
                       ": expected a teacher of Stable Diffusion 1, 2 or XL with a schedule of "
                       "betas, found a " +
                       pipeline.class_name + " with " + pipeline.scheduler.class_name +
                       " of flow matching, which laurel does not distill; take a turbo release of "
                       "the model, or tune it with laurel finetune");
}

// The student beside its teacher. Throws BadInput when the model is no teacher.
// `compute`: the type of its matrix products.
void add_teacher(finetune::TrainingTask& task,
                 const finetune::DistillConfig& config,
                 at::ScalarType compute) {
  if (diffusion::traits(task.unet).guidance_width > 0) {
    throw data::BadInput(task.model +
                         ": expected a teacher that is guided by classifier-free guidance, found a "
                         "UNet that reads its guidance (time_cond_proj_dim), as an LCM does: it is "
                         "distilled already");
  }
  task.teacher = diffusion::with_compute_dtype(task.unet, compute);
  task.unet = finetune::make_student(task.unet, config.time_cond_proj_dim);
}

// The data's latents: rank 0 first, which may leave them in a file for the others.
finetune::EncodedImages encode_in_turn(const finetune::ProcessGroup& ranks,
                                       const std::function<finetune::EncodedImages()>& encode_all) {
  finetune::EncodedImages encoded;
  if (ranks.rank == 0) encoded = encode_all();
  finetune::any_rank(ranks, false);
  return ranks.rank == 0 ? encoded : encode_all();
}

// One process of the run, or all of it.
int distill_in(const finetune::ProcessGroup& ranks,
               DistillCommand& command,
               const Options& options) {
  const Placement placement = open_device(command.device, ranks.local_rank);
  const PrecisionScope precision(placement);
  const diffusion::Pipeline pipeline = open_model(command.checkpoint);
  check_teacher(pipeline);
  const data::ImageFolder images = open_data(command, diffusion::native_size(pipeline));
  finetune::TrainingTask task = make_task(command, command.config, placement);
  task.config_text = options.resolved();
  if (images.files.empty() && !task.synthetic) {
    throw data::BadInput("data: expected a folder of captioned images for " + task.model +
                         ", found none; name one with --data");
  }
  add_teacher(task, command.config, placement.compute);
  Console console;
  const finetune::Reporter reporter = ranks.rank == 0 ? console.reporter() : finetune::Reporter();
  const finetune::EncodedImages encoded =
      encode_in_turn(ranks, [&] { return encode(command, images, pipeline, reporter); });
  if (!command.max_memory.empty() || !task.device.is_cpu())
    finetune::expect_memory(task, encoded, command.config,
                            memory_limit(command.max_memory, task.device));
  if (command.dry_run) {
    if (ranks.rank == 0)
      std::cout << finetune::forecast_text(
          finetune::forecast_distill(task, encoded, command.config));
    return exit_code_of(images);
  }
  finetune::RunOptions run;
  run.folder = command.output_dir;
  run.resume_from = command.resume_from_checkpoint;
  run.record = {"distill",           task.model,    command.reward, placement.device.str(),
                command.config.seed, task.synthetic};
  run.stop_requested = stop_on_signal();
  run.ranks = ranks;
  const auto result = finetune::run_distill(task, encoded, command.config, run, reporter);
  if (ranks.rank == 0) print_result(result, "steps", "teacher", command.output_dir);
  const int code = exit_code_of(result);
  return code == 0 ? exit_code_of(images) : code;
}

int distill_command(const std::vector<std::string>& arguments) {
  DistillCommand command;
  command.train = "full";
  command.reward = "";
  command.config.train_full = true;
  command.config.learning_rate = 1e-4;
  command.config.adam_weight_decay = 0;
  command.config.ema_decay = 0.95;
  command.config.eval_every = 250;
  command.config.checkpointing_steps = 250;
  Options options(
      "distill",
      "Teaches a student to sample in 1 to 8 steps what the model samples in 50: latent "
      "consistency distillation, with --reward drawn towards rewards (RG-LCD).");
  declare_distill(options, command);
  const auto parsed = options.parse(arguments);
  if (!parsed.proceed) return 0;
  if (!parsed.positional.empty())
    throw data::BadInput("laurel distill: unexpected '" + parsed.positional[0] + "'");
  // An adapter's target is the student itself, as in every published script.
  if (command.train == "lora" && !options.given("ema_decay")) command.config.ema_decay = 0;
  resolve_distill(command);
  return in_ranks(options.resolved(), command.ranks, [&](const finetune::ProcessGroup& ranks) {
    return distill_in(ranks, command, options);
  });
}

}  // namespace

const Command kDistill{"distill", "few-step sampling from a model, guided by reward: LCD, RG-LCD",
                       distill_command};

}  // namespace tools
