#pragma once

// Whom to ask about which pair next, and the answers: the store's votes with what must be quick in
// memory.

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "tools/studio/store/votes.hpp"
#include "tools/studio/voting/pool.hpp"

namespace studio {

struct VoteCounts {
  int64_t answered = 0;  // what stands, skips included
  int64_t decided = 0, ties = 0, both_bad = 0, skipped = 0;
  int64_t held_out = 0, repeated = 0;
  int64_t same_again = 0, again = 0;  // repeats that can be compared, and those answered alike
};

// What a person was asked in this session and before.
struct Asked {
  VoteCounts counts{};
  std::unordered_map<int64_t, std::string> answers{};  // that stand, by pair
  std::deque<ShownPair> queue{};                       // waits for an answer
  std::unordered_set<uint64_t> pairs{};                // pair_key
  std::unordered_set<int64_t> repeated{};
  std::deque<ShownPair> to_repeat{};  // answered, of which none was asked again; oldest first
};

class Ballot {
 public:
  // `draw`: a pair for this person that is not in `asked`; none: there is none left. proof: whether
  // the pairs are of purpose kProof.
  using Draw = std::function<std::optional<ShownPair>(
      int64_t person, Asked& asked, std::mt19937_64& chance)>;
  Ballot(data::Database& store, const Pool& pool, Draw draw, bool proof, uint64_t seed);

  // The pair to show and the one after it, which the page loads ahead. They stay the same until
  // they are answered, also when the program starts anew. Fewer when all pairs were asked.
  const std::deque<ShownPair>& queue(int64_t person);
  // False: the pair does not wait for this person's answer.
  bool vote(int64_t person, int64_t pair, const std::string& answer, int64_t milliseconds);
  // Takes the last answer back; its pair is shown next. False: there is no answer.
  bool undo(int64_t person);
  const VoteCounts& counts(int64_t person) { return asked_of(person).counts; }

 private:
  Asked& asked_of(int64_t person);
  data::Database& store_;
  const Pool& pool_;
  Draw draw_;
  bool proof_;
  std::mt19937_64 chance_;
  std::map<int64_t, Asked> asked_;
};

// What teaches a taste: 15 % of the pairs are held out, 10 % asked a second time with the sides
// swapped, at least eight answers later. `worth` of a person: of pairs to learn from; may be empty.
// `others`: held-out pairs that other people answered, which are asked first, so that people can be
// compared; may be empty.
Ballot::Draw draw_to_learn(const Pool& pool,
                           std::function<Worth(int64_t person)> worth,
                           std::function<std::vector<ShownPair>(int64_t person)> others = {});

}  // namespace studio
