#pragma once

// The guard of a training run: one judgement at each evaluation, from which console, files, gallery
// and exit code take theirs.

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "finetune/guard/signal.hpp"

namespace guard {

struct Verdict {
  int64_t step = 0;
  State state = State::kFine;
  std::string kind{};    // "gamed"; empty where the state is fine
  std::string reason{};  // in plain words; what was compared, where the state is fine
  std::vector<std::pair<std::string, double>> figures{};  // "guard/state", "guard/fall", ...
  std::vector<std::pair<std::string, State>> signals{};   // each signal's own verdict
  std::vector<std::pair<int64_t, double>> worst{};  // images that lost most, and how much, in order
  int64_t accepted_step = -1;  // the last evaluation at which nothing was flagged; -1: none
};

// What the guard knows between evaluations. A checkpoint keeps it.
struct GuardState {
  std::optional<Measures> start{};
  // Of the last epochs, the oldest first; each H lists of prompts.
  std::vector<std::vector<std::vector<PromptMoments>>> epochs{};
  Flags before{};  // of the last evaluation
  bool braked = false;
  int64_t early = 0;  // evaluations that the leading signal asked for
  int64_t accepted_step = -1;
};

// How many evaluations the leading signal may ask for.
constexpr int64_t kEarlyEvaluations = 3;

// An epoch's training images: their combined reward [P] and held-out scores [P, H]. True when the
// leading signal asks for an evaluation now.
bool observe_epoch(GuardState& state,
                   const GuardOptions& options,
                   const at::Tensor& combined,
                   const at::Tensor& held_out,
                   const std::vector<int64_t>& prompt_ids);

// What rewards are compared with: the start's, or a control run's at the same step.
struct Reference {
  at::Tensor trained, held_out;  // [I, M], [I, H]
};

// The verdict on an evaluation. The first one of a state without a start is the start. `compared`:
// null for the start. Throws c10::Error where the shapes differ from the start's.
Verdict judge(GuardState& state,
              const GuardOptions& options,
              const Measures& now,
              const std::vector<int64_t>& prompt_ids,
              int64_t step,
              const Reference* compared = nullptr);

// "guard: stop (gamed): the held-out rewards fell by ...; accepted/ keeps step 10"
std::string verdict_text(const Verdict& verdict);

}  // namespace guard
