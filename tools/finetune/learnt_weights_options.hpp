#pragma once

// The options of weights that are learnt (rewards/combine/learnt_weights.hpp).

#include "tools/finetune/training_options.hpp"

namespace tools {

// Of commands that combine the rewards of an epoch.
void declare_learnt_weights(Options& options,
                            TrainingCommand& command,
                            finetune::TrainingConfig& config);

// Where --primary and --auxiliary are given: they are the trained rewards, the primary first, and
// the scale is `pooled` unless another is named. Throws BadInput where one of them is missing, for
// a weight among them, for another --reward beside them, and where the primary rates fewer than two
// of a prompt's images.
void resolve_learnt_weights(TrainingCommand& command,
                            finetune::TrainingConfig& config,
                            const Options& options,
                            int64_t images_per_prompt);

}  // namespace tools
