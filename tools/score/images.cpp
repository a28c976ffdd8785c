#include "tools/score/images.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <map>

#include "data/images/from_pixels.hpp"
#include "rewards/combine/combine.hpp"
#include "rewards/combine/measures.hpp"
#include "tools/score/image_stream.hpp"

namespace fs = std::filesystem;

namespace tools {
namespace {

// Limits of waiting images: in batches, and in pixels.
constexpr int64_t kBatchesInWaiting = 4, kPixelsInWaiting = int64_t{1} << 27;
// Pixels scored at once, unless it is one image: they become floats, of which rewards make more.
constexpr int64_t kPixelsAtOnce = int64_t{1} << 26;

using PixelSize = std::pair<int64_t, int64_t>;

// Gathers images of one size into batches.
struct BatchScorer {
  const std::vector<ScoreJob>& jobs;
  const std::vector<rewards::WeightedReward>& rewards;
  const ScoringOptions& options;
  const ScoringHooks& hooks;
  struct Waiting {
    size_t job = 0;
    at::Tensor pixels;  // [H, W, 3] uint8
  };
  std::map<PixelSize, std::vector<Waiting>> waiting{};
  int64_t count = 0, waiting_pixels = 0;  // of them

  // The images as floats, [B, 3, H, W]; a single one is not copied on the way.
  at::Tensor floats(std::vector<at::Tensor> stored) const {
    const at::Tensor bytes = stored.size() == 1 ? stored[0].unsqueeze(0) : at::stack(stored);
    stored.clear();
    return data::from_pixels(bytes.to(options.device));
  }
  void score(std::vector<Waiting> batch) {
    count -= static_cast<int64_t>(batch.size());
    std::vector<at::Tensor> stored;
    std::vector<std::string> prompts;
    for (auto& image : batch) {
      waiting_pixels -= image.pixels.size(0) * image.pixels.size(1);
      stored.push_back(std::move(image.pixels));
      prompts.push_back(*jobs[image.job].prompt);
    }
    const at::Tensor images = floats(std::move(stored));
    const at::Tensor raw =
        options.measures ? rewards::measure(rewards, {images, prompts})
                         : rewards::score_all(rewards, {images, prompts}).to(at::kCPU, at::kDouble);
    for (size_t i = 0; i < batch.size(); ++i) {
      const at::Tensor row = raw[static_cast<int64_t>(i)].contiguous();
      hooks.scored(jobs[batch[i].job],
                   {row.const_data_ptr<double>(), row.const_data_ptr<double>() + row.numel()});
    }
    if (hooks.batch_done) hooks.batch_done();
  }
  void add(size_t job, at::Tensor pixels) {
    const PixelSize size{pixels.size(0), pixels.size(1)};
    const int64_t one = size.first * size.second;
    const int64_t most = std::clamp<int64_t>(kPixelsAtOnce / one, 1, options.batch_size);
    auto& of_size = waiting[size];
    of_size.push_back({job, std::move(pixels)});
    ++count;
    waiting_pixels += one;
    if (static_cast<int64_t>(of_size.size()) == most) {
      score(std::move(waiting.extract(size).mapped()));
    } else if (count >= kBatchesInWaiting * options.batch_size ||
               waiting_pixels >= kPixelsInWaiting) {
      flush_largest();
    }
  }
  void flush_largest() {
    const auto largest = std::max_element(
        waiting.begin(), waiting.end(),
        [](const auto& a, const auto& b) { return a.second.size() < b.second.size(); });
    score(std::move(waiting.extract(largest).mapped()));
  }
};

}  // namespace

std::vector<ScoreJob> jobs_of(const std::vector<fs::path>& images, const PromptSources& sources) {
  const auto prompts = prompts_beside_images(images, sources);
  std::vector<ScoreJob> jobs;
  for (size_t i = 0; i < images.size(); ++i) {
    ScoreJob job{.path = images[i], .row = i};
    if (prompts[i]) job.prompt = prompts[i]->text;
    if (prompts[i]) job.prompt_fault = prompts[i]->fault;
    jobs.push_back(job);
  }
  return jobs;
}

void score_files(std::vector<ScoreJob> jobs,
                 const std::vector<rewards::WeightedReward>& rewards,
                 const ScoringOptions& options,
                 const ScoringHooks& hooks) {
  const at::NoGradGuard no_grad;
  std::vector<fs::path> files;
  for (const auto& job : jobs) files.push_back(job.path);
  ImageStream stream(std::move(files), options.decode_threads, 2 * options.batch_size);
  BatchScorer scorer{jobs, rewards, options, hooks};
  while (auto streamed = stream.next()) {
    ScoreJob& job = jobs[streamed->index];
    if (!job.prompt) {
      job.prompt = prompt_in(streamed->image.text).value_or("");
      job.prompt_fault = streamed->image.text_fault;
    }
    if (!streamed->fault.empty())
      hooks.failed(job, streamed->fault);
    else if (options.need_prompt && job.prompt->empty())
      hooks.failed(job, job.prompt_fault.empty()
                            ? job.path.string() +
                                  ": no prompt found, which these rewards need; give --prompt or "
                                  "--prompts"
                            : job.prompt_fault);
    else
      scorer.add(streamed->index, std::move(streamed->image.pixels));
  }
  while (!scorer.waiting.empty()) scorer.flush_largest();
}

}  // namespace tools
