#include "tools/edit/result.hpp"

#include <ATen/ATen.h>

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "tools/cli/models.hpp"
#include "tools/cli/version.hpp"
#include "tools/edit/recorded_edits.hpp"
#include "tools/sample/guides/value.hpp"

namespace fs = std::filesystem;

namespace tools {

std::string caption_of(const EditJob& job) {
  return job.caption.empty() ? job.instruction : job.caption;
}

data::GenerationParameters edit_parameters(const EditRun& run,
                                           const LoadedEdit& edit,
                                           const BestCandidate& best) {
  const EditJob& job = *edit.job;
  const auto& axes = diffusion::reward_config(run.pipeline.network);
  data::GenerationParameters p;
  p.prompt = job.instruction;
  p.negative_prompt = job.negative_prompt;
  p.steps = job.steps;
  p.sampler = diffusion::sampler_label(run.choice);
  p.cfg_scale = job.cfg_text;
  p.seed = job.seed + (candidates_of(run.guide.guide) > 1 ? 0 : static_cast<uint64_t>(best.index));
  p.width = edit.source.size(2);
  p.height = edit.source.size(1);
  p.model = model_name(run.pipeline.source);
  const auto note = [&](const char* key, const std::string& value) {
    if (!value.empty()) p.extra.push_back({key, value});
  };
  const auto unless = [](double value, double usual) {
    return value == usual ? std::string() : data::short_number(value);
  };
  for (size_t m = 0; m < run.rewards.size(); ++m) {
    note((run.rewards[m].reward.info.name + " Score").c_str(),
         data::short_number(best.scores[static_cast<int64_t>(m)].item<double>()));
  }
  if (run.config.best_of > 1) note("Best of", std::to_string(run.config.best_of));
  note("Guide", run.config.guide.guide);
  note("Guide value", guide_value_text(run.guide));
  for (const auto& delta : run.guide.deltas) note("Delta", delta.name);
  note("Image CFG scale", data::short_number(job.cfg_image));
  note("Image", job.image.filename().string());
  note("Denoising strength", unless(job.strength, 1));
  note("Mask", job.mask.filename().string());
  note("Requested reward", request_text(job.request, axes));
  note("Feedback", job.feedback);
  note("Reward CFG scale", unless(job.request_scale, 1));
  if (job.request_scale != 1) note("Low reward", request_text(job.request_low, axes));
  note("CFG rescale", unless(run.config.guidance_rescale, 0));
  note("Eta", unless(run.config.eta, 0));
  note("laurel", kVersion);
  return p;
}

void write_result(const EditRun& run,
                  const EditJob& job,
                  const data::GenerationParameters& p,
                  const BestCandidate& best,
                  double seconds) {
  nlohmann::ordered_json scores = nlohmann::ordered_json::object();
  for (size_t m = 0; m < run.rewards.size(); ++m)
    scores[run.rewards[m].reward.info.name] = best.scores[static_cast<int64_t>(m)].item<double>();
  nlohmann::ordered_json request = nlohmann::ordered_json::object();
  const auto& axes = diffusion::reward_config(run.pipeline.network).axes;
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
                                    {"model", run.pipeline.source.string()},
                                    {"scores", scores},
                                    {"seconds", seconds}};
  if (run.config.output.empty())
    data::append_line(fs::path(run.config.output_dir) / kEditResults, data::to_text(line));
}

}  // namespace tools
