#include "tools/studio/voting/session.hpp"

namespace studio {
namespace {

// Reads on a connection of its own, while votes are written on the other.
std::unique_ptr<Learner> learner_on(const Pool& pool,
                                    const std::filesystem::path& file,
                                    const Learner::Look& look) {
  if (!look) return nullptr;
  const auto reader = std::make_shared<data::Database>(read_store(file));
  return std::make_unique<Learner>(pool, look, [reader] {
    return Learner::Known{.people = people(*reader), .votes = standing_votes(*reader)};
  });
}

}  // namespace

Session::Session(Store& store,
                 const std::vector<int64_t>& ids,
                 const Learner::Look& look,
                 uint64_t seed)
    : pool(make_pool(stored_images(store.database), ids)),
      learner(learner_on(pool, store.database.file(), look)),
      ballot(store.database,
             pool,
             draw_to_learn(
                 pool,
                 [this](int64_t person) { return learner ? learner->worth(person) : Worth(); },
                 [&store](int64_t person) { return measured_of_others(store.database, person); }),
             /*proof=*/false,
             seed) {}

}  // namespace studio
