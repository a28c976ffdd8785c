#include "tools/sample/writer.hpp"

#include <ATen/ATen.h>

#include <filesystem>

#include "data/base/error.hpp"
#include "data/base/shape.hpp"
#include "data/images/digital_source.hpp"
#include "data/images/image_io.hpp"
#include "data/weights/safetensors.hpp"
#include "tools/sample/best_of.hpp"

namespace fs = std::filesystem;

namespace tools {

SampleWriter::SampleWriter(std::vector<SampleJob> jobs, WriterOptions options)
    : jobs_(std::move(jobs)), options_(std::move(options)) {}

void SampleWriter::take(size_t job, int64_t candidate, Candidate value) {
  if (!options_.finished.empty() && options_.finished[job]) return;
  auto& candidates = waiting_[job];
  candidates[candidate] = std::move(value);
  if (static_cast<int64_t>(candidates.size()) == options_.best_of) write(job);
}

void SampleWriter::write(size_t job) {
  const SampleJob& asked = jobs_[job];
  std::vector<at::Tensor> images;
  for (const auto& [index, candidate] : waiting_[job]) images.push_back(candidate.image);
  const BestCandidate best = best_candidate(options_.rewards, at::stack(images), asked.prompt.text);
  KeptImage kept{.value = waiting_[job][best.index],
                 .seed = asked.seed + static_cast<uint64_t>(options_.joint ? 0 : best.index),
                 .scores = best.scores};
  waiting_.erase(job);

  data::GenerationParameters parameters = options_.base;
  if (options_.model_digest.valid())
    parameters.model_hash = options_.model_digest.get().substr(0, 10);
  parameters.prompt = asked.loras.empty() ? asked.prompt.text : asked.written_prompt;
  parameters.negative_prompt = asked.negative_prompt.text;
  parameters.steps = asked.steps;
  parameters.cfg_scale = asked.cfg_scale;
  parameters.seed = kept.seed;
  parameters.height = kept.value.image.size(1);
  parameters.width = kept.value.image.size(2);
  std::vector<data::GenerationParameters::Extra> scores;
  if (options_.best_of > 1) scores.push_back({"Best of", std::to_string(options_.best_of)});
  for (size_t m = 0; m < options_.rewards.size(); ++m) {
    const double score = kept.scores[static_cast<int64_t>(m)].item<double>();
    scores.push_back({options_.rewards[m].reward.info.name + " Score", data::short_number(score)});
  }
  parameters.extra.insert(parameters.extra.begin(), scores.begin(), scores.end());
  data::PngText text{{"parameters", data::parameters_text(parameters)}};
  text.merge(comfy_chunks(options_.comfy, {.prompt = asked.prompt.text,
                                           .negative_prompt = asked.negative_prompt.text,
                                           .seed = kept.seed,
                                           .steps = asked.steps,
                                           .width = parameters.width,
                                           .height = parameters.height,
                                           .cfg_scale = asked.cfg_scale,
                                           .loras = asked.loras}));
  if (options_.mark) text.merge(data::generated_mark());
  const auto path = [&] {
    const int64_t number = options_.first_number + static_cast<int64_t>(job);
    return fs::path(options_.output_dir) / image_name(number, kept.seed);
  };
  // Another sampling into this folder may have taken the number since we began.
  while (!data::write_new_png(path(), kept.value.image, text))
    options_.first_number = next_number(options_.output_dir) - static_cast<int64_t>(job);
  kept.value.image.reset();
  kept_[job] = std::move(kept);
}

void SampleWriter::save_latents(const std::string& path) const {
  std::vector<at::Tensor> initial, latents;
  std::string seeds;
  for (const auto& [job, kept] : kept_) {
    if (!initial.empty() && kept.value.initial.sizes() != initial[0].sizes()) {
      throw data::BadInput(path +
                           ": --save_latents: expected images of one size, found latents of " +
                           data::shape_text(initial[0].sizes()) + " and " +
                           data::shape_text(kept.value.initial.sizes()) + "; use one run per size");
    }
    initial.push_back(kept.value.initial);
    latents.push_back(kept.value.latents);
    seeds += (seeds.empty() ? "" : ",") + std::to_string(kept.seed);
  }
  data::Weights file;
  file.tensors["latents"] = at::stack(initial);
  file.tensors["x0"] = at::stack(latents);
  file.metadata = {{"seeds", seeds},
                   {"about",
                    "latents: initial noise, as --latents and diffusers' latents= take it; "
                    "x0: the final latents, unit variance"}};
  data::write_safetensors(path, file);
}

std::string SampleWriter::score_summary() const {
  std::string line;
  for (size_t m = 0; m < options_.rewards.size() && !kept_.empty(); ++m) {
    double sum = 0;
    for (const auto& [job, kept] : kept_)
      sum += kept.scores[static_cast<int64_t>(m)].item<double>();
    line += (line.empty() ? "" : ", ") + options_.rewards[m].reward.info.name + " " +
            data::short_number(sum / static_cast<double>(kept_.size()));
  }
  return line.empty() ? "" : "mean score: " + line;
}

}  // namespace tools
