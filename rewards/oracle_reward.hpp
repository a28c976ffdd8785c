#pragma once

// The gold reward of the built-in world: what an exact reader of its pictures says. Learned rewards
// are judged against it; nothing is trained on it unless a command says so.

#include "rewards/reward.hpp"

namespace rewards {

// The share of the caption's claims (counts, shapes, colours, sizes, places, relations, background)
// that hold in the picture: 0-1. images: [B, 3, 64, 64]. Throws BadInput for a prompt outside the
// world's grammar.
Reward oracle_reward();

}  // namespace rewards
