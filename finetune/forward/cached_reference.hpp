#pragma once

// The starting model's errors on choices, computed once: then a step needs the network in training
// alone. The draws of noise and timestep that a choice is trained at are fixed for that, where they
// are otherwise drawn afresh each time.

#include "finetune/forward/choices.hpp"
#include "finetune/forward/gradient.hpp"

namespace finetune {

struct CachedReference {
  std::vector<int64_t> first_row;  // of each choice, among the R rows of all
  NoiseDraws draws;                // of all rows; the images of a pair share theirs
  at::Tensor errors;               // [R, S] fp64 on the CPU, as ForwardPass::compared_errors
};

// Draws depend on the configuration's seed and on the number of choices alone, so that a resumed
// run has the same. `batch` choices are encoded at once. Each rank computes its share; all get the
// whole.
CachedReference cache_reference(const TrainingTask& task,
                                const ChoiceData& data,
                                const ForwardConfig& config,
                                const diffusion::NoiseSchedule& schedule,
                                const Reporter& reporter,
                                const ProcessGroup& ranks = {});

// What a step on some choices takes from it, in the order of choice_batch's rows.
struct CachedRows {
  NoiseDraws draws;
  at::Tensor errors;  // [r, S]
};
CachedRows rows_of(const CachedReference& cache,
                   const ChoiceData& data,
                   const std::vector<int64_t>& chosen);

}  // namespace finetune
