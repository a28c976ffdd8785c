#pragma once

// The pictures at hand with what is asked and learnt about them. Made anew when pictures are added.

#include <memory>
#include <vector>

#include "tools/studio/store/schema.hpp"
#include "tools/studio/voting/ballot.hpp"
#include "tools/studio/voting/learner.hpp"

namespace studio {

struct Session {
  // ids: of pictures in the store; empty: all whose file is there. look: how to see pictures;
  // empty: pairs are drawn at random. Throws BadInput as make_pool.
  Session(Store& store, const std::vector<int64_t>& ids, const Learner::Look& look, uint64_t seed);
  Session(const Session&) = delete;  // its parts refer to one another
  Session& operator=(const Session&) = delete;

  Pool pool;
  std::unique_ptr<Learner> learner;  // null: nothing is learnt
  Ballot ballot;
};

}  // namespace studio
