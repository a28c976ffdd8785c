#include "tools/studio/voting/ballot.hpp"

#include <algorithm>

namespace studio {
namespace {

constexpr size_t kAhead = 2;
constexpr size_t kApart = 8;  // answers between a pair and its repetition
constexpr double kHeldOutShare = 0.15, kRepeatedShare = 0.10;

bool is_proof(const ShownPair& pair) { return pair.purpose == kProof; }

bool happens(double share, std::mt19937_64& chance) {
  return std::uniform_real_distribution<double>(0, 1)(chance) < share;
}

// The answer with the sides swapped.
std::string mirrored(const std::string& answer) {
  return answer == "left" ? "right" : answer == "right" ? "left" : answer;
}

// Adds an answer to the counts, or takes the last one off them: by is 1 or -1.
void count(const ShownPair& pair, const std::string& answer, int64_t by, Asked& asked) {
  VoteCounts& counts = asked.counts;
  counts.answered += by;
  counts.decided += by * (answer == "left" || answer == "right");
  counts.ties += by * (answer == "tie");
  counts.both_bad += by * (answer == "both_bad");
  counts.skipped += by * (answer == "skip");
  counts.held_out += by * (pair.purpose == kHeldOut);
  if (by > 0)
    asked.answers[pair.id] = answer;
  else
    asked.answers.erase(pair.id);
  if (!pair.repeats) return;
  counts.repeated += by;
  const auto before = asked.answers.find(*pair.repeats);
  if (before == asked.answers.end() || answer == "skip" || before->second == "skip") return;
  counts.again += by;
  counts.same_again += by * (before->second == mirrored(answer));
}

// The first of some pairs that may be asked of this person, sides drawn.
std::optional<Pair> not_yet_asked(const std::vector<ShownPair>& pairs,
                                  const Pool& pool,
                                  const Asked& asked,
                                  std::mt19937_64& chance) {
  for (const auto& pair : pairs) {
    const auto left = pool.number_of.find(pair.left), right = pool.number_of.find(pair.right);
    if (left == pool.number_of.end() || right == pool.number_of.end() ||
        asked.pairs.contains(pair_key(left->second, right->second)))
      continue;
    return happens(0.5, chance) ? Pair{left->second, right->second}
                                : Pair{right->second, left->second};
  }
  return std::nullopt;
}

void let_repeat(const ShownPair& pair, const std::string& answer, Asked& asked) {
  if (answer != "skip" && !pair.repeats && !asked.repeated.contains(pair.id))
    asked.to_repeat.push_back(pair);
}

}  // namespace

Ballot::Ballot(data::Database& store, const Pool& pool, Draw draw, bool proof, uint64_t seed)
    : store_(store), pool_(pool), draw_(std::move(draw)), proof_(proof), chance_(seed) {}

Asked& Ballot::asked_of(int64_t person) {
  const auto [place, fresh] = asked_.try_emplace(person);
  Asked& asked = place->second;
  if (!fresh) return asked;
  const auto known = [&](const ShownPair& pair) {
    return is_proof(pair) == proof_ && pool_.number_of.contains(pair.left) &&
           pool_.number_of.contains(pair.right);
  };
  for (const auto& pair : pairs_of(store_, person)) {
    if (pair.repeats) asked.repeated.insert(*pair.repeats);
    if (known(pair))
      asked.pairs.insert(pair_key(pool_.number_of.at(pair.left), pool_.number_of.at(pair.right)));
  }
  for (const auto& pair : unanswered(store_, person)) {
    if (known(pair)) asked.queue.push_back(pair);
  }
  for (const auto& vote : standing_votes(store_, person)) {
    if (is_proof(vote.pair) != proof_) continue;
    count(vote.pair, vote.answer, 1, asked);
    if (known(vote.pair)) let_repeat(vote.pair, vote.answer, asked);
  }
  return asked;
}

const std::deque<ShownPair>& Ballot::queue(int64_t person) {
  Asked& asked = asked_of(person);
  while (asked.queue.size() < kAhead) {
    auto pair = draw_(person, asked, chance_);
    if (!pair) break;
    pair->id = record_pair(store_, *pair);
    asked.pairs.insert(pair_key(pool_.number_of.at(pair->left), pool_.number_of.at(pair->right)));
    asked.queue.push_back(*pair);
  }
  return asked.queue;
}

bool Ballot::vote(int64_t person, int64_t pair, const std::string& answer, int64_t milliseconds) {
  Asked& asked = asked_of(person);
  const auto place = std::find_if(asked.queue.begin(), asked.queue.end(),
                                  [&](const ShownPair& shown) { return shown.id == pair; });
  if (place == asked.queue.end()) return false;
  if (!record_vote(store_, pair, answer, milliseconds)) return false;
  count(*place, answer, 1, asked);
  let_repeat(*place, answer, asked);
  asked.queue.erase(place);
  return true;
}

bool Ballot::undo(int64_t person) {
  Asked& asked = asked_of(person);
  const auto pair = undo_vote(store_, person, proof_);
  if (!pair) return false;
  const std::string answer = asked.answers[pair->id];
  count(*pair, answer, -1, asked);
  std::erase_if(asked.to_repeat, [&](const ShownPair& shown) { return shown.id == pair->id; });
  if (pool_.number_of.contains(pair->left) && pool_.number_of.contains(pair->right))
    asked.queue.push_front(*pair);
  return true;
}

Ballot::Draw draw_to_learn(const Pool& pool,
                           std::function<Worth(int64_t person)> worth,
                           std::function<std::vector<ShownPair>(int64_t person)> others) {
  return [&pool, worth = std::move(worth), others = std::move(others)](
             int64_t person, Asked& asked, std::mt19937_64& chance) -> std::optional<ShownPair> {
    if (asked.to_repeat.size() > kApart && happens(kRepeatedShare, chance)) {
      const ShownPair before = asked.to_repeat.front();
      asked.to_repeat.pop_front();
      asked.repeated.insert(before.id);
      return ShownPair{.person = person,
                       .left = before.right,
                       .right = before.left,
                       .purpose = before.purpose,
                       .repeats = before.id};
    }
    const bool held_out = happens(kHeldOutShare, chance);
    const Worth by = held_out ? Worth() : worth(person);
    std::optional<Pair> pair;
    if (held_out && others) pair = not_yet_asked(others(person), pool, asked, chance);
    if (!pair) pair = draw_pair(pool, asked.pairs, held_out, by, chance);
    const bool other = !pair;  // none of this kind is left
    if (other) pair = draw_pair(pool, asked.pairs, !held_out, {}, chance);
    if (!pair) return std::nullopt;
    return ShownPair{.person = person,
                     .left = pool.images[pair->first].id,
                     .right = pool.images[pair->second].id,
                     .purpose = held_out != other ? kHeldOut : kLearn};
  };
}

}  // namespace studio
