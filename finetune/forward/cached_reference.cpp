#include "finetune/forward/cached_reference.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>
#include <numeric>

#include "data/base/splitmix.hpp"
#include "finetune/forward/online_epoch.hpp"

namespace finetune {
namespace {

constexpr uint64_t kDrawsOfAChoice = 0x63616368;  // the seed's own stream

int64_t rows_of_choice(const ChoiceData& data, size_t choice) { return data.b[choice] < 0 ? 1 : 2; }

}  // namespace

CachedRows rows_of(const CachedReference& cache,
                   const ChoiceData& data,
                   const std::vector<int64_t>& chosen) {
  std::vector<int64_t> rows;
  for (const int64_t choice : chosen) {
    const auto i = static_cast<size_t>(choice);
    for (int64_t k = 0; k < rows_of_choice(data, i); ++k) rows.push_back(cache.first_row[i] + k);
  }
  CachedRows some{selected(cache.draws, rows), {}};
  if (cache.errors.defined())
    some.errors = cache.errors.index_select(0, at::tensor(rows, at::kLong));
  return some;
}

CachedReference cache_reference(const TrainingTask& task,
                                const ChoiceData& data,
                                const ForwardConfig& config,
                                const diffusion::NoiseSchedule& schedule,
                                const Reporter& reporter,
                                const ProcessGroup& ranks) {
  CachedReference cache;
  std::vector<int64_t> groups;
  for (size_t i = 0; i < data.choices.size(); ++i) {
    cache.first_row.push_back(static_cast<int64_t>(groups.size()));
    groups.insert(groups.end(), static_cast<size_t>(rows_of_choice(data, i)),
                  static_cast<int64_t>(i));
  }
  auto generator = at::detail::createCPUGenerator(
      data::splitmix64(static_cast<uint64_t>(config.seed) ^ kDrawsOfAChoice));
  cache.draws = draw_noises(groups, config.draws, schedule.config.num_train_timesteps,
                            config.proportion_empty_prompts, generator);
  const auto total = static_cast<int64_t>(data.choices.size());
  std::vector<at::Tensor> parts;
  for (int64_t start = 0; start < total; start += config.choices_per_update) {
    std::vector<int64_t> chosen(
        static_cast<size_t>(std::min(config.choices_per_update, total - start)));
    std::iota(chosen.begin(), chosen.end(), start);
    const ChoiceBatch batch = choice_batch(data, chosen);
    const auto rows = static_cast<int64_t>(batch.labels.rows.size());
    const ForwardPass pass =
        make_forward_pass(task, config, schedule, task.unet, &task.unet, batch.prompts, ranks);
    parts.push_back(compared_errors(pass, {batch.latents, batch.labels.rows, rows}, batch.labels,
                                    rows_of(cache, data, chosen).draws,
                                    strided_shard(ranks, rows)));
    reporter.progress("errors of the start", start + static_cast<int64_t>(chosen.size()), total);
  }
  cache.errors = at::cat(parts);
  return cache;
}

}  // namespace finetune
