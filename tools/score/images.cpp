#include "tools/score/images.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <map>

#include "data/images/image_io.hpp"
#include "rewards/combine/combine.hpp"
#include "tools/score/image_stream.hpp"

namespace tools {
namespace {

constexpr int64_t kBatchesInWaiting = 4;  // images that wait for others of their size, in batches

using Size = std::pair<int64_t, int64_t>;

struct Scorer {
  const std::vector<std::string>& prompts;
  const std::vector<rewards::WeightedReward>& rewards;
  const ScoringOptions& options;
  const ScoringHooks& hooks;
  std::map<Size, std::vector<StreamedImage>> waiting{};
  int64_t count = 0;  // of them

  void score(std::vector<StreamedImage> batch) {
    count -= static_cast<int64_t>(batch.size());
    std::vector<at::Tensor> pixels;
    std::vector<std::string> own;
    for (const auto& image : batch) {
      pixels.push_back(image.pixels);
      own.push_back(prompts[image.index]);
    }
    const at::Tensor images =
        data::from_uint8(at::stack(pixels).to(options.device).permute({0, 3, 1, 2})).contiguous();
    const at::Tensor raw = rewards::score_all(rewards, {images, own}).to(at::kCPU, at::kDouble);
    for (size_t i = 0; i < batch.size(); ++i) {
      const at::Tensor row = raw[static_cast<int64_t>(i)].contiguous();
      hooks.rated(batch[i].index,
                  {row.const_data_ptr<double>(), row.const_data_ptr<double>() + row.numel()});
    }
  }
  void add(StreamedImage image) {
    const Size size{image.pixels.size(0), image.pixels.size(1)};
    auto& own = waiting[size];
    own.push_back(std::move(image));
    ++count;
    if (static_cast<int64_t>(own.size()) == options.batch_size) {
      score(std::move(waiting.extract(size).mapped()));
    } else if (count >= kBatchesInWaiting * options.batch_size) {
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

void score_files(const std::vector<std::filesystem::path>& files,
                 const std::vector<std::string>& prompts,
                 const std::vector<rewards::WeightedReward>& rewards,
                 const ScoringOptions& options,
                 const ScoringHooks& hooks) {
  const at::NoGradGuard no_grad;
  ImageStream stream(files, options.decode_threads, 2 * options.batch_size);
  Scorer scorer{prompts, rewards, options, hooks};
  while (auto image = stream.next()) {
    const size_t index = image->index;
    if (options.need_prompt && prompts[index].empty())
      hooks.failed(index, files[index].string() +
                              ": no prompt found, which these rewards need; give --prompt or "
                              "--prompts");
    else if (!image->fault.empty())
      hooks.failed(index, image->fault);
    else
      scorer.add(std::move(*image));
  }
  while (!scorer.waiting.empty()) scorer.flush_largest();
}

}  // namespace tools
