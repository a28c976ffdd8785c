#include "finetune/guard/signal.hpp"

namespace guard {

const char* name_of(State state) {
  static constexpr const char* kNames[] = {"fine", "warn", "brake", "stop"};
  return kNames[static_cast<int>(state)];
}

const std::vector<Signal>& signals() {
  static const std::vector<Signal> rows{kHeldOutSignal, kFollowingSignal,   kLeadingSignal,
                                        kKlSignal,      kDiversitySignal,   kMembersSignal,
                                        kImagesSignal,  kDegenerationSignal};
  return rows;
}

}  // namespace guard
