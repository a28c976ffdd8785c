// laurel edit: edits images by instruction, conditioned on a requested reward.

#include "tools/edit/command.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <chrono>
#include <iostream>
#include <random>
#include <set>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "data/base/log.hpp"
#include "data/device/memory.hpp"
#include "data/images/digital_source.hpp"
#include "data/images/generation_parameters.hpp"
#include "data/images/image_io.hpp"
#include "data/storage/folder_lock.hpp"
#include "diffusion/pipeline/generate.hpp"
#include "rewards/combine/combine.hpp"
#include "tools/cli/console/progress.hpp"
#include "tools/cli/failure.hpp"
#include "tools/cli/models.hpp"
#include "tools/cli/version.hpp"
#include "tools/edit/jobs.hpp"
#include "tools/edit/recorded_edits.hpp"
#include "tools/edit/result.hpp"
#include "tools/gallery/page.hpp"
#include "tools/sample/best_of.hpp"
#include "tools/sample/conditions.hpp"
#include "tools/sample/guides/generate.hpp"
#include "tools/sample/guides/value.hpp"
#include "tools/sample/jobs.hpp"
#include "tools/sample/memory_fit.hpp"
#include "tools/sample/sampler_choice.hpp"

using data::BadInput;
namespace fs = std::filesystem;

namespace tools {
namespace {

constexpr const char* kPage = "gallery.html";

// Whether nothing asks for the network's plain weights while images are edited on the CPU.
bool can_prepack(const ImageEditConfig& config, at::Device device) {
  return device.is_cpu() && config.guide.guide.empty() && config.max_memory.empty();
}

diffusion::Pipeline load_editor(const ImageEditConfig& config, at::Device device) {
  ModelConfig checkpoint = config.checkpoint;
  checkpoint.holding.as_stored = can_prepack(config, device);
  const fs::path embedded = embedded_models() / "tiny-world-edit";
  if (checkpoint.model.empty() && fs::is_directory(embedded)) checkpoint.model = embedded.string();
  diffusion::Pipeline pipeline = open_model(checkpoint);
  if (!diffusion::edits_images(pipeline)) {
    throw BadInput(pipeline.source.string() +
                   ": expected a model that edits images (a UNet of 8 input channels), found a " +
                   pipeline.class_name +
                   ", a text-to-image model; `laurel finetune edit` can train it to edit images");
  }
  if (config.vae_tiling) diffusion::enable_tiling(pipeline.vae);
  move_to(pipeline, device);
  return pipeline;
}

constexpr int64_t kLongest = 4;  // longest side that the size rule may give, in resolutions

// The size of an edit of this image. Throws BadInput with `where` for a very long image.
PixelSize size_of(const EditRun& run, const at::Tensor& image, const std::string& where) {
  const int64_t factor = diffusion::vae_factor(run.pipeline.vae.config);
  if (run.config.size.empty()) {
    const int64_t resolution =
        run.config.resolution > 0 ? run.config.resolution : diffusion::native_size(run.pipeline);
    const PixelSize size = edit_size(image.size(2), image.size(1), resolution, 8 * factor);
    if (std::max(size.width, size.height) <= kLongest * resolution) return size;
    throw BadInput(where + ": expected an image of ordinary proportions, found " +
                   std::to_string(image.size(2)) + "x" + std::to_string(image.size(1)) +
                   ", which becomes " + std::to_string(size.width) + "x" +
                   std::to_string(size.height) + " by the size rule; crop it, or give --size");
  }
  const TwoNumbers size = two_numbers(run.config.size, 'x', "size", "WIDTHxHEIGHT");
  diffusion::latent_shape(run.pipeline, size.second, size.first);  // throws for a bad size
  return {size.first, size.second};
}

LoadedEdit load_images(const EditRun& run, const EditJob& job) {
  const at::Tensor image = data::read_image(job.image);
  const PixelSize size = size_of(run, image, job.image.string());
  const auto fitted = [&](const at::Tensor& picture) {
    return run.config.size.empty() ? fitted_middle(picture, size)
                                   : fitted_image(picture, size.height, size.width);
  };
  LoadedEdit edit{&job, fitted(image), {}};
  if (job.mask.empty()) return edit;
  const at::Tensor mask = data::read_image(job.mask);
  if (mask.sizes() != image.sizes()) {
    const auto text = [](const at::Tensor& picture) {
      return std::to_string(picture.size(2)) + "x" + std::to_string(picture.size(1));
    };
    throw BadInput(job.mask.string() + ": expected a mask of the image's size " + text(image) +
                   ", found " + text(mask));
  }
  edit.mask = fitted(mask).mean(0, /*keepdim=*/true);
  return edit;
}

diffusion::GenerateOptions options_of(const EditRun& run, const LoadedEdit& edit) {
  const EditJob& job = *edit.job;
  diffusion::GenerateOptions options;
  options.guidance = {.scale = job.cfg_text,
                      .image_scale = job.cfg_image,
                      .reward_scale = job.request_scale,
                      .rescale = run.config.guidance_rescale};
  options.height = edit.source.size(1);
  options.width = edit.source.size(2);
  options.micro_batch = run.micro_batch;
  options.sampler.sampler = run.choice.sampler;
  options.sampler.steps = job.steps;
  options.sampler.eta = run.config.eta;
  options.strength = job.strength;
  return options;
}

// Whether two edits can be computed together.
bool alike(const LoadedEdit& a, const LoadedEdit& b) {
  const auto key = [](const LoadedEdit& edit) {
    return std::make_tuple(edit.source.size(1), edit.source.size(2), edit.job->steps,
                           edit.job->cfg_text, edit.job->cfg_image, edit.job->request_scale,
                           edit.job->strength);
  };
  return key(a) == key(b);
}

void write_edit(EditRun& run, const LoadedEdit& edit, const at::Tensor& images, double seconds) {
  const EditJob& job = *edit.job;
  const BestCandidate best = best_candidate(run.rewards, images, caption_of(job));
  const data::GenerationParameters p = edit_parameters(run, edit, best);
  data::PngText text{{"parameters", data::parameters_text(p)}};
  if (!job.set.empty())
    data::write_png(fs::path(run.config.output_dir) / "samples" / "source" / job.output.filename(),
                    edit.source, text);
  if (!run.config.no_provenance) text.merge(data::edited_mark());
  data::write_png(job.output, images[best.index], text);
  write_result(run, job, p, best, seconds);
  ++run.written;
}

// The request for one candidate of an edit.
diffusion::ImageRequest request_of(const LoadedEdit& edit, uint64_t candidate) {
  const EditJob& job = *edit.job;
  return {.prompt = job.instruction,
          .negative_prompt = job.negative_prompt,
          .seed = job.seed + candidate,
          .latents = {},
          .source = edit.source,
          .change = edit.mask,
          .reward = {job.request, job.feedback},
          .reward_low = {job.request_low, job.feedback},
          .caption = caption_of(job)};
}

// Computes edits of equal settings together.
void run_chunk(EditRun& run, const std::vector<LoadedEdit>& chunk) {
  const auto best_of = static_cast<size_t>(run.config.best_of);
  std::vector<diffusion::ImageRequest> requests;
  for (const auto& edit : chunk)
    for (size_t i = 0; i < best_of; ++i) requests.push_back(request_of(edit, i));
  const auto began = std::chrono::steady_clock::now();
  std::vector<at::Tensor> images;
  generate_guided(run.guide, run.pipeline, requests, options_of(run, chunk[0]), [&](auto& batch) {
    for (const auto& image : batch.images.unbind(0)) images.push_back(image);
  });
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  const auto ends = static_cast<int64_t>(images.size() / chunk.size());  // of an edit
  for (size_t i = 0; i < chunk.size(); ++i) {
    const auto first = images.begin() + static_cast<int64_t>(i) * ends;
    const at::Tensor candidates = at::stack(std::vector<at::Tensor>(first, first + ends));
    write_edit(run, chunk[i], candidates, took.count() / static_cast<double>(chunk.size()));
  }
}

// An edit of the largest size that the size rule gives.
LoadedEdit largest_edit(const EditRun& run) {
  const PixelSize size = size_of(run, at::empty({3, 1, 1}), "--resolution");
  return {&run.plan.jobs.front(), at::empty({3, size.height, size.width}), {}};
}

// Chooses batch size and tiling for it.
void fit_memory(EditRun& run, at::Device device) {
  const ImageEditConfig& config = run.config;
  const LoadedEdit largest = largest_edit(run);
  const MemoryFit fit =
      fit_generation(run.pipeline, options_of(run, largest), request_of(largest, 0),
                     {.bytes = memory_limit(config.max_memory, device),
                      .batch_size = run.micro_batch,
                      .told = !config.max_memory.empty()});
  run.micro_batch = guided_batch(run.guide.guide, fit.batch_size);
}

// Whether a resumed run may pass over the job: its image is there, and told of.
bool is_done(const EditRun& run, const EditJob& job) {
  return run.config.resume && fs::exists(job.output) &&
         (!run.config.output.empty() || run.recorded.contains(job.output.string()));
}

// Runs all jobs. A job whose images cannot be read is recorded as a fault and skipped.
void run_jobs(EditRun& run) {
  const auto most =
      static_cast<size_t>(std::max<int64_t>(1, run.config.batch_size / run.config.best_of));
  Progress progress("edits", static_cast<int64_t>(run.plan.jobs.size()));
  std::vector<LoadedEdit> chunk;
  const auto flush = [&] {
    if (!chunk.empty()) run_chunk(run, chunk);
    for (size_t i = 0; i < chunk.size(); ++i) progress.advance();
    chunk.clear();
  };
  for (const auto& job : run.plan.jobs) {
    if (is_done(run, job)) {
      ++run.passed;
      progress.advance();
      continue;
    }
    try {
      LoadedEdit edit = load_images(run, job);
      if (!chunk.empty() && (chunk.size() == most || !alike(chunk[0], edit))) flush();
      chunk.push_back(edit);
    } catch (const BadInput& error) {
      run.plan.faults.push_back((job.where.empty() ? "" : job.where + ": ") + error.what());
      progress.advance();
    }
  }
  flush();
}

void write_gallery(const EditRun& run) {
  const fs::path folder = run.config.output_dir;
  auto all = gallery::collect({folder.string()});
  auto pictures = gallery::make_pictures(all, {});
  gallery::drop_unreadable(all, pictures);
  gallery::write_page(
      all, pictures,
      {.output = folder / kPage, .title = "Edits", .version = kVersion, .created = ""});
  std::cout << "gallery: " << (folder / kPage).string() << "\n";
}

int finish(const EditRun& run) {
  const ImageEditConfig& config = run.config;
  const bool page = config.gallery || !config.sweep.empty();
  const bool old = run.written == 0 && fs::exists(fs::path(config.output_dir) / kPage);
  if (page && !old && run.written + run.passed > 0) write_gallery(run);
  std::cout << run.written << (run.written == 1 ? " edit in " : " edits in ")
            << (config.output.empty() ? config.output_dir : config.output);
  if (run.passed > 0) std::cout << ", " << run.passed << " skipped: the files exist";
  std::cout << "\n";
  for (const auto& fault : run.plan.faults) data::log_error(fault);
  if (run.plan.faults.empty()) return 0;
  data::log_error(std::to_string(run.plan.faults.size()) + " of " +
                  std::to_string(run.plan.faults.size() + run.written + run.passed) +
                  " edits failed");
  return 2;
}

// Loads what the guide and the choice among candidates need; a value network names its reward.
void open_guide(EditRun& run, const Guide& guide, at::Device device) {
  ImageEditConfig& config = run.config;
  const fs::path log = fs::path(config.output_dir) / "guide.jsonl";
  run.guide = {guide, config.guide, {}, config.output.empty() ? log.string() : ""};
  open_guide_value(run.pipeline, run.guide, config.reward);
  if (!config.reward.empty())
    run.rewards = rewards::make_rewards(config.reward, reward_sources(config.sources, device));
  run.guide.rewards = run.rewards;
  run.guide.deltas = load_deltas(config.deltas, run.pipeline);
}

int edit_command(const std::vector<std::string>& arguments) {
  EditRun run;
  ImageEditConfig& config = run.config;
  Options options("edit", "Edits images by instruction, conditioned on a requested reward.", "");
  declare_edit(options, config);
  const auto parsed = options.parse(arguments);
  if (!parsed.proceed) return 0;
  if (!parsed.positional.empty())
    throw BadInput("laurel edit: expected options only, found '" + parsed.positional[0] +
                   "'; give --image FILE");
  check_edit(config);
  const Guide guide = parse_guide(config.guide.guide);
  resolve_candidates(guide, config.best_of);
  if (!config.max_memory.empty()) data::parse_bytes(config.max_memory, "max_memory");
  const Placement placement = open_device(config.device);
  const PrecisionScope precision(placement);
  const at::NoGradGuard no_grad;
  run.pipeline = load_editor(config, placement.device);
  run.choice =
      resolve_sampler(config.sampling_method, config.timestep_spacing, config.eta, run.pipeline);
  open_guide(run, guide, placement.device);
  check_guide(run.guide, {.sampler = run.choice.sampler, .steps = config.steps, .eta = config.eta});
  const data::FolderLock lock =
      config.output.empty() ? data::FolderLock(config.output_dir) : data::FolderLock();
  if (config.resume && config.output.empty()) run.recorded = recorded_edits(config.output_dir);
  run.plan = plan_edits(config, diffusion::reward_config(run.pipeline.network),
                        std::random_device{}() & 0x7FFFFFFF, data::log_warning);
  const int64_t of_edit = search_of(guide) ? round_of(guide, config.guide) : config.best_of;
  const int64_t images = static_cast<int64_t>(run.plan.jobs.size()) * of_edit;
  run.micro_batch = guided_batch(guide, std::clamp<int64_t>(images, 1, config.batch_size));
  if ((!config.max_memory.empty() || !placement.device.is_cpu()) && !run.plan.jobs.empty())
    fit_memory(run, placement.device);
  if (can_prepack(config, placement.device) && !run.plan.jobs.empty())
    diffusion::prepack(run.pipeline, options_of(run, largest_edit(run)), placement.compute);
  const std::string batch = std::to_string(run.micro_batch);
  with_advice("laurel edit", "--batch_size (now " + batch + ") or --resolution",
              [&] { run_jobs(run); });
  return finish(run);
}

}  // namespace

const Command kEdit{"edit", "edit images by instruction, conditioned on a requested reward",
                    edit_command};

}  // namespace tools
