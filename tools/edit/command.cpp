// laurel edit: images changed by instruction, at the reward that is asked for.

#include "tools/edit/command.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <chrono>
#include <iostream>
#include <nlohmann/json.hpp>
#include <random>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "data/device/memory.hpp"
#include "data/images/exif_orientation.hpp"
#include "data/images/generation_parameters.hpp"
#include "data/images/image_io.hpp"
#include "diffusion/pipeline/generate.hpp"
#include "rewards/combine/combine.hpp"
#include "tools/cli/failure.hpp"
#include "tools/cli/models.hpp"
#include "tools/cli/progress.hpp"
#include "tools/cli/version.hpp"
#include "tools/edit/jobs.hpp"
#include "tools/gallery/page.hpp"
#include "tools/sample/conditions.hpp"
#include "tools/sample/jobs.hpp"
#include "tools/sample/memory_fit.hpp"
#include "tools/sample/sampler_choice.hpp"

using data::BadInput;
namespace fs = std::filesystem;

namespace tools {
namespace {

struct Session {
  EditConfig config;
  diffusion::Pipeline pipeline;
  diffusion::SamplerChoice choice;
  std::vector<rewards::WeightedReward> rewards;
  EditPlan plan;
  int64_t micro_batch = 1;
  size_t written = 0, passed = 0;
};

// A job with its images.
struct Ready {
  const EditJob* job;
  at::Tensor source, mask;  // [3, H, W], [1, H, W] or undefined
};

diffusion::Pipeline load_editor(const EditConfig& config, at::Device device) {
  ModelConfig checkpoint = config.checkpoint;
  const fs::path embedded = embedded_models() / "tiny-world-edit";
  if (checkpoint.model.empty() && fs::is_directory(embedded)) checkpoint.model = embedded.string();
  diffusion::Pipeline pipeline = open_model(checkpoint);
  if (!diffusion::edits_images(pipeline)) {
    throw BadInput(pipeline.source.string() +
                   ": expected a model that edits images (a UNet of 8 input channels), found a " +
                   pipeline.class_name +
                   ", which makes images from text; `laurel finetune edit` makes an editor of it");
  }
  if (config.vae_tiling) diffusion::enable_tiling(pipeline.vae);
  move_to(pipeline, device);
  return pipeline;
}

constexpr int64_t kLongest = 4;  // times the resolution: beyond it the size rule is of no use

// Of an edit of such an image. Throws BadInput, `where` first, for a strip.
PixelSize size_of(const Session& session, const at::Tensor& image, const std::string& where) {
  const int64_t factor = diffusion::vae_factor(session.pipeline.vae.config);
  if (session.config.size.empty()) {
    const int64_t resolution = session.config.resolution > 0
                                   ? session.config.resolution
                                   : diffusion::native_size(session.pipeline);
    const PixelSize size = edit_size(image.size(2), image.size(1), resolution, 8 * factor);
    if (std::max(size.width, size.height) <= kLongest * resolution) return size;
    throw BadInput(where + ": expected an image of ordinary proportions, found " +
                   std::to_string(image.size(2)) + "x" + std::to_string(image.size(1)) +
                   ", which becomes " + std::to_string(size.width) + "x" +
                   std::to_string(size.height) + " by the size rule; cut it, or give --size");
  }
  const TwoNumbers size = two_numbers(session.config.size, 'x', "size", "WIDTHxHEIGHT");
  diffusion::latent_shape(session.pipeline, size.second, size.first);  // refuses what does not fit
  return {size.first, size.second};
}

Ready load_images(const Session& session, const EditJob& job) {
  const at::Tensor image = data::read_upright(job.image);
  const PixelSize size = size_of(session, image, job.image.string());
  const auto fitted = [&](const at::Tensor& picture) {
    return session.config.size.empty() ? fitted_middle(picture, size)
                                       : fitted_image(picture, size.height, size.width);
  };
  Ready ready{&job, fitted(image), {}};
  if (job.mask.empty()) return ready;
  const at::Tensor mask = data::read_upright(job.mask);
  if (mask.sizes() != image.sizes()) {
    const auto text = [](const at::Tensor& picture) {
      return std::to_string(picture.size(2)) + "x" + std::to_string(picture.size(1));
    };
    throw BadInput(job.mask.string() + ": expected a mask of the image's size " + text(image) +
                   ", found " + text(mask));
  }
  ready.mask = fitted(mask).mean(0, /*keepdim=*/true);
  return ready;
}

diffusion::GenerateOptions options_of(const Session& session, const Ready& ready) {
  const EditJob& job = *ready.job;
  diffusion::GenerateOptions options;
  options.guidance = {.scale = job.cfg_text,
                      .image_scale = job.cfg_image,
                      .reward_scale = job.request_scale,
                      .rescale = session.config.guidance_rescale};
  options.height = ready.source.size(1);
  options.width = ready.source.size(2);
  options.micro_batch = session.micro_batch;
  options.sampler.sampler = session.choice.sampler;
  options.sampler.steps = job.steps;
  options.sampler.eta = session.config.eta;
  options.strength = job.strength;
  return options;
}

// Whether two edits can be computed together.
bool alike(const Ready& a, const Ready& b) {
  const auto key = [](const Ready& ready) {
    return std::make_tuple(ready.source.size(1), ready.source.size(2), ready.job->steps,
                           ready.job->cfg_text, ready.job->cfg_image, ready.job->request_scale,
                           ready.job->strength);
  };
  return key(a) == key(b);
}

std::string caption_of(const EditJob& job) {
  return job.caption.empty() ? job.instruction : job.caption;
}

struct Chosen {
  int64_t index = 0;
  at::Tensor scores;  // [M]; undefined without rewards
};

// The best candidate, scored as it will be read: rounded to 8 bits. images: [n, 3, H, W]
Chosen choose(const Session& session, const EditJob& job, const at::Tensor& images) {
  if (session.rewards.empty()) return {};
  const std::vector<std::string> prompts(static_cast<size_t>(images.size(0)), caption_of(job));
  const at::Tensor pixels = data::from_uint8(data::to_uint8(images));
  const at::Tensor raw =
      rewards::score_all(session.rewards, {.images = pixels, .prompts = prompts}).cpu();
  const at::Tensor total =
      rewards::combine(raw, {}, rewards::combine_options(session.rewards)).total;
  const int64_t best = total.argmax().item<int64_t>();
  return {best, raw[best]};
}

data::ImageParameters parameters_of(const Session& session,
                                    const Ready& ready,
                                    const Chosen& chosen) {
  const EditJob& job = *ready.job;
  const auto& axes = session.pipeline.unet.config.reward;
  data::ImageParameters p;
  p.prompt = job.instruction;
  p.negative_prompt = job.negative_prompt;
  p.steps = job.steps;
  p.sampler = diffusion::sampler_label(session.choice);
  p.cfg_scale = job.cfg_text;
  p.seed = job.seed + static_cast<uint64_t>(chosen.index);
  p.width = ready.source.size(2);
  p.height = ready.source.size(1);
  p.model = model_name(session.pipeline.source);
  const auto note = [&](const char* key, const std::string& value) {
    if (!value.empty()) p.extra.push_back({key, value});
  };
  const auto unless = [](double value, double usual) {
    return value == usual ? std::string() : data::short_number(value);
  };
  for (size_t m = 0; m < session.rewards.size(); ++m) {
    note((session.rewards[m].reward.info.name + " Score").c_str(),
         data::short_number(chosen.scores[static_cast<int64_t>(m)].item<double>()));
  }
  if (session.config.best_of > 1) note("Best of", std::to_string(session.config.best_of));
  note("Image CFG scale", data::short_number(job.cfg_image));
  note("Image", job.image.filename().string());
  note("Denoising strength", unless(job.strength, 1));
  note("Mask", job.mask.filename().string());
  note("Requested reward", request_text(job.request, axes));
  note("Feedback", job.feedback);
  note("Reward CFG scale", unless(job.request_scale, 1));
  if (job.request_scale != 1) note("Low reward", request_text(job.request_low, axes));
  note("CFG rescale", unless(session.config.guidance_rescale, 0));
  note("Eta", unless(session.config.eta, 0));
  note("laurel", kVersion);
  return p;
}

void write_result(const Session& session,
                  const EditJob& job,
                  const data::ImageParameters& p,
                  const Chosen& chosen,
                  double seconds) {
  nlohmann::ordered_json scores = nlohmann::ordered_json::object();
  for (size_t m = 0; m < session.rewards.size(); ++m)
    scores[session.rewards[m].reward.info.name] =
        chosen.scores[static_cast<int64_t>(m)].item<double>();
  nlohmann::ordered_json request = nlohmann::ordered_json::object();
  const auto& axes = session.pipeline.unet.config.reward.axes;
  for (size_t k = 0; k < job.request.size(); ++k)
    request[axes[k]] = std::isnan(job.request[k]) ? nlohmann::ordered_json()
                                                  : nlohmann::ordered_json(job.request[k]);
  const nlohmann::ordered_json line{{"output", job.output.string()},
                                    {"image", job.image.string()},
                                    {"instruction", job.instruction},
                                    {"negative_prompt", job.negative_prompt},
                                    {"seed", p.seed},
                                    {"steps", job.steps},
                                    {"sampler", p.sampler},
                                    {"cfg_text", job.cfg_text},
                                    {"cfg_image", job.cfg_image},
                                    {"strength", job.strength},
                                    {"request", request},
                                    {"request_scale", job.request_scale},
                                    {"width", p.width},
                                    {"height", p.height},
                                    {"model", session.pipeline.source.string()},
                                    {"scores", scores},
                                    {"seconds", seconds}};
  if (session.config.output.empty())
    data::append_line(fs::path(session.config.output_dir) / "results.jsonl", data::to_text(line));
}

void write_edit(Session& session, const Ready& ready, const at::Tensor& images, double seconds) {
  const EditJob& job = *ready.job;
  const Chosen chosen = choose(session, job, images);
  const data::ImageParameters p = parameters_of(session, ready, chosen);
  const data::PngText text{{"parameters", data::parameters_text(p)}};
  if (!job.set.empty())
    data::write_png(
        fs::path(session.config.output_dir) / "samples" / "source" / job.output.filename(),
        ready.source, text);
  data::write_png(job.output, images[chosen.index], text);
  write_result(session, job, p, chosen, seconds);
  ++session.written;
}

// The `candidate`th of an edit.
diffusion::ImageRequest request_of(const Ready& ready, uint64_t candidate) {
  const EditJob& job = *ready.job;
  return {.prompt = job.instruction,
          .negative_prompt = job.negative_prompt,
          .seed = job.seed + candidate,
          .latents = {},
          .source = ready.source,
          .change = ready.mask,
          .reward = {job.request, job.feedback},
          .reward_low = {job.request_low, job.feedback}};
}

// Edits of one kind, at once.
void run_chunk(Session& session, const std::vector<Ready>& chunk) {
  const auto best_of = static_cast<size_t>(session.config.best_of);
  std::vector<diffusion::ImageRequest> requests;
  for (const auto& ready : chunk) {
    for (size_t i = 0; i < best_of; ++i) {
      requests.push_back(request_of(ready, i));
    }
  }
  const auto began = std::chrono::steady_clock::now();
  std::vector<at::Tensor> images;
  diffusion::generate(session.pipeline, requests, options_of(session, chunk[0]),
                      [&](const diffusion::GeneratedBatch& batch) {
                        for (const auto& image : batch.images.unbind(0)) images.push_back(image);
                      });
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  for (size_t i = 0; i < chunk.size(); ++i) {
    const auto first = images.begin() + static_cast<int64_t>(i * best_of);
    const at::Tensor candidates =
        at::stack(std::vector<at::Tensor>(first, first + static_cast<int64_t>(best_of)));
    write_edit(session, chunk[i], candidates, took.count() / static_cast<double>(chunk.size()));
  }
}

// Chooses batch size and tiling for the largest image that the size rule gives.
void fit_memory(Session& session, at::Device device) {
  const EditConfig& config = session.config;
  const EditJob& job = session.plan.jobs.front();
  const PixelSize size = size_of(session, at::empty({3, 1, 1}), "--resolution");
  const Ready largest{&job, at::empty({3, size.height, size.width}), {}};
  const MemoryFit fit =
      fit_generation(session.pipeline, options_of(session, largest), request_of(largest, 0),
                     {.bytes = memory_limit(config.max_memory, device),
                      .batch_size = session.micro_batch,
                      .told = !config.max_memory.empty()});
  session.micro_batch = fit.batch_size;
}

// All of them; what cannot be read is noted and passed over.
void run_jobs(Session& session) {
  const auto most =
      static_cast<size_t>(std::max<int64_t>(1, session.config.batch_size / session.config.best_of));
  Progress progress("edits", static_cast<int64_t>(session.plan.jobs.size()));
  std::vector<Ready> chunk;
  const auto flush = [&] {
    if (!chunk.empty()) run_chunk(session, chunk);
    for (size_t i = 0; i < chunk.size(); ++i) progress.advance();
    chunk.clear();
  };
  for (const auto& job : session.plan.jobs) {
    if (session.config.resume && fs::exists(job.output)) {
      ++session.passed;
      progress.advance();
      continue;
    }
    try {
      Ready ready = load_images(session, job);
      if (!chunk.empty() && (chunk.size() == most || !alike(chunk[0], ready))) flush();
      chunk.push_back(ready);
    } catch (const BadInput& error) {
      session.plan.faults.push_back((job.where.empty() ? "" : job.where + ": ") + error.what());
      progress.advance();
    }
  }
  flush();
}

void write_gallery(const Session& session) {
  const fs::path folder = session.config.output_dir;
  auto all = gallery::collect({folder.string()});
  auto pictures = gallery::make_pictures(all, {});
  gallery::drop_unreadable(all, pictures);
  gallery::write_page(
      all, pictures,
      {.output = folder / "gallery.html", .title = "Edits", .version = kVersion, .created = ""});
  std::cout << "gallery: " << (folder / "gallery.html").string() << "\n";
}

int finish(const Session& session) {
  const EditConfig& config = session.config;
  const bool page = config.gallery || !config.sweep.empty();
  if (page && session.written > 0) write_gallery(session);
  std::cout << session.written << (session.written == 1 ? " edit in " : " edits in ")
            << (config.output.empty() ? config.output_dir : config.output);
  if (session.passed > 0) std::cout << ", " << session.passed << " were there";
  std::cout << "\n";
  for (const auto& fault : session.plan.faults) std::cerr << "laurel: " << fault << "\n";
  if (session.plan.faults.empty()) return 0;
  std::cerr << "laurel: " << session.plan.faults.size() << " of "
            << session.plan.faults.size() + session.written + session.passed
            << " edits could not be made\n";
  return 2;
}

int edit_command(const std::vector<std::string>& arguments) {
  Session session;
  EditConfig& config = session.config;
  Options options("edit", "Changes images as an instruction says, at the reward that is asked for.",
                  "");
  declare_edit(options, config);
  const auto parsed = options.parse(arguments);
  if (!parsed.proceed) return 0;
  if (!parsed.positional.empty())
    throw BadInput("laurel edit: unexpected '" + parsed.positional[0] + "'; give --image FILE");
  check_edit(config);
  if (!config.max_memory.empty()) data::parse_bytes(config.max_memory, "max_memory");
  const Placement placement = open_device(config.device);
  const PrecisionScope precision(placement);
  const at::NoGradGuard no_grad;
  session.pipeline = load_editor(config, placement.device);
  session.choice =
      settle_sampler(config.sampling_method, config.timestep_spacing, config.eta, session.pipeline);
  if (!config.reward.empty())
    session.rewards =
        rewards::make_rewards(config.reward, reward_sources(config.sources, placement.device));
  session.plan =
      plan_edits(config, session.pipeline.unet.config.reward, std::random_device{}() & 0x7FFFFFFF,
                 [](const std::string& text) { std::cerr << "laurel: warning: " << text << "\n"; });
  const auto images = static_cast<int64_t>(session.plan.jobs.size()) * config.best_of;
  session.micro_batch = std::clamp<int64_t>(images, 1, config.batch_size);
  if ((!config.max_memory.empty() || !placement.device.is_cpu()) && !session.plan.jobs.empty())
    fit_memory(session, placement.device);
  const std::string batch = std::to_string(session.micro_batch);
  with_advice("laurel edit", "--batch_size (now " + batch + ") or --resolution",
              [&] { run_jobs(session); });
  return finish(session);
}

}  // namespace

const Command kEdit{"edit", "change images as an instruction says, at a reward that is asked for",
                    edit_command};

}  // namespace tools
