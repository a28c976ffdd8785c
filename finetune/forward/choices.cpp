#include "finetune/forward/choices.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <map>
#include <numeric>

#include "data/base/error.hpp"
#include "data/device/transfer.hpp"
#include "data/images/image_folder.hpp"
#include "data/images/image_io.hpp"
#include "finetune/datasets/latents.hpp"
#include "finetune/run/score_prompt.hpp"

namespace finetune {
namespace {

// The row of each file, in the order in which they first come.
struct ImageRows {
  std::vector<std::filesystem::path> files;
  std::map<std::filesystem::path, int64_t> known;
  int64_t of(const std::filesystem::path& file) {
    const auto [place, added] = known.emplace(file, static_cast<int64_t>(files.size()));
    if (added) files.push_back(file);
    return place->second;
  }
};

}  // namespace

at::Tensor choice_image(const TrainingTask& task, const std::filesystem::path& file) {
  return data::middle_square(data::read_image(file), vae_factor(task) * task.latent_shape[1]);
}

ChoiceData encode_choices(const TrainingTask& task,
                          const std::vector<ImageChoice>& choices,
                          int64_t batch,
                          const Reporter& reporter) {
  const at::NoGradGuard no_gradient;
  if (choices.empty()) throw data::BadInput("pairs: expected choices between images, found none");
  ImageRows rows;
  ChoiceData result{.choices = choices, .a = {}, .b = {}, .latents = {}};
  for (const auto& choice : choices) {
    result.a.push_back(rows.of(choice.a));
    result.b.push_back(choice.b.empty() ? -1 : rows.of(choice.b));
  }
  const auto total = static_cast<int64_t>(rows.files.size());
  std::vector<at::Tensor> parts;
  for (int64_t start = 0; start < total; start += batch) {
    std::vector<at::Tensor> images;
    for (int64_t i = start; i < std::min(start + batch, total); ++i)
      images.push_back(choice_image(task, rows.files[static_cast<size_t>(i)]));
    const at::Tensor encoded =
        latent_gaussian(task.pipeline->vae, data::to_device(at::stack(images), task.device));
    parts.push_back(data::to_host(encoded.select(1, 0).contiguous()));
    reporter.progress("images encoded", std::min(start + batch, total), total);
  }
  result.latents = at::cat(parts);
  return result;
}

ChoiceBatch choice_batch(const ChoiceData& data, const std::vector<int64_t>& chosen) {
  ChoiceBatch batch;
  std::vector<int64_t> images;
  std::vector<double> values, weights;
  const auto add = [&](const ImageChoice& choice, int64_t image, double p, int64_t group) {
    batch.prompts.emplace_back(choice.score > 0 ? score_prompt(choice.score, choice.prompt)
                                                : choice.prompt);
    images.push_back(image);
    batch.groups.push_back(group);
    values.push_back(p);
    weights.push_back(choice.weight);
  };
  for (const int64_t place : chosen) {
    const auto i = static_cast<size_t>(place);
    const ImageChoice& choice = data.choices[i];
    const auto row = static_cast<int64_t>(images.size());
    add(choice, data.a[i], choice.p, row);
    if (data.b[i] < 0) continue;
    add(choice, data.b[i], 1 - choice.p, row);
    batch.labels.pairs.push_back(
        {.a = row, .b = row + 1, .p = choice.p, .weight = choice.weight, .margin = choice.margin});
  }
  batch.latents = data.latents.index_select(0, at::tensor(images, at::kLong)).to(at::kFloat);
  batch.labels.rows.resize(images.size());
  std::iota(batch.labels.rows.begin(), batch.labels.rows.end(), 0);
  batch.labels.values = at::tensor(values, at::kDouble);
  batch.labels.weights = at::tensor(weights, at::kDouble);
  return batch;
}

}  // namespace finetune
