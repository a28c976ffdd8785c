#pragma once

// A sign that a reward is gamed, or that a model comes to harm: a row, judged at each evaluation.

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "finetune/guard/measures.hpp"
#include "finetune/guard/paired_change.hpp"
#include "finetune/guard/within_prompt.hpp"

namespace guard {

// In the order of severity. Brake: go back to the accepted parameters and go on at half the
// learning rate.
enum class State { kFine, kWarn, kBrake, kStop };
const char* name_of(State state);  // "fine", "warn", "brake", "stop"

// What a run is judged by.
struct GuardOptions {
  std::vector<std::string> trained{}, held_out{};  // M, H names
  // Places among held_out of rewards that read the prompt. Where they are some, and not all, they
  // are judged apart too: a taste may rise with the trained reward while prompts are less followed.
  std::vector<int64_t> read_prompts{};
  double tolerance = 0.25;  // a mean fall of the held-out rewards that is borne, in deviations
  double kl_budget = 100;   // nats a trajectory
  double alpha = 0.05;      // chance of a false alarm, shared over the evaluations
  int64_t evaluations = 1;  // planned, with those that the leading signal may ask for
  int64_t epochs = 1;       // planned: each looks at the leading signal
};

// What two evaluations in a row make a stop of. Each is proven by one test alone; `bound` of a
// change shares alpha over the evaluations.
struct Flags {
  bool kl_over = false;         // the KL is above the budget
  bool held_out_down = false;   // a fall beyond the tolerance is proven
  bool following_down = false;  // the same of the rewards that read the prompt
};

// What the signals look at.
struct Evidence {
  const GuardOptions& options;
  const Measures &start, &now;
  const std::vector<int64_t>& prompt_ids;    // I
  const PairedChange &trained, &held_out;    // from what is compared with to now
  const PairedChange& following;             // of read_prompts; no prompts: not judged apart
  std::vector<PooledCorrelation> leading{};  // H, of the last epochs; empty: too few
  Flags before{}, flags{};                   // at the evaluation before, at this one
  bool may_brake = false;                    // the run was not braked yet
};

struct Finding {
  State state = State::kFine;
  std::string kind{};   // what it is called when it decides: "gamed"
  std::string words{};  // why, where the state is not fine
  std::vector<std::pair<std::string, double>> figures{};  // of the metrics, after "guard/"
};

struct Signal {
  const char* name;
  Finding (*judge)(const Evidence& evidence);
};
extern const Signal kHeldOutSignal, kFollowingSignal, kLeadingSignal, kKlSignal, kDiversitySignal,
    kMembersSignal, kImagesSignal, kDegenerationSignal;

const std::vector<Signal>& signals();

// A negative correlation is proven for more than half of the held-out rewards.
bool most_fall(const std::vector<PooledCorrelation>& leading);

}  // namespace guard
