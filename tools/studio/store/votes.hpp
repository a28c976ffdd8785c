#pragma once

// People, the pairs that they were shown and their answers.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "data/database/connection.hpp"

namespace studio {

struct Person {
  int64_t id = 0;
  std::string name;
};
// In the order of their first appearance.
std::vector<Person> people(data::Database& store);
// The person of this name, added where it is new. Throws BadInput for a name that is empty, longer
// than 200 bytes, no UTF-8, or holds control characters.
Person person_named(data::Database& store, const std::string& name);

// What a pair is for: to learn from; to measure by, for ever; to compare a tuned model with its
// base.
inline constexpr const char *kLearn = "learn", *kHeldOut = "held_out", *kProof = "proof";

struct ShownPair {
  int64_t id = 0, person = 0;
  int64_t left = 0, right = 0;  // ids of images, as they were shown
  std::string purpose = kLearn;
  std::optional<int64_t> repeats{};  // the pair that is asked again, sides swapped
};
// -> the id
int64_t record_pair(data::Database& store, const ShownPair& pair);
// A person's pairs, in order: all, and those that wait for an answer.
std::vector<ShownPair> pairs_of(data::Database& store, int64_t person);
std::vector<ShownPair> unanswered(data::Database& store, int64_t person);

// Pairs that only measure and that other people answered, each once: to ask this person too, so
// that people can be compared.
std::vector<ShownPair> measured_of_others(data::Database& store, int64_t person);

// "left", "right", "tie", "both_bad", "skip"
const std::vector<std::string>& answers();

// Writes an answer; when this returns it is on the disk. False: the pair has one, of another window
// perhaps. Throws BadInput for an answer that is none of answers().
bool record_vote(data::Database& store,
                 int64_t pair,
                 const std::string& answer,
                 int64_t milliseconds);

// Takes back the person's last answer that stands, of proofs or of all else, and returns its pair;
// none: there is no answer.
std::optional<ShownPair> undo_vote(data::Database& store, int64_t person, bool proof = false);

// Marks a pair whose origin the person was told: answers after that do not count.
void record_reveal(data::Database& store, int64_t pair);

// An answer that stands: it was not taken back.
struct StandingVote {
  int64_t vote = 0;
  ShownPair pair;
  std::string answer;
  int64_t milliseconds = 0, at = 0;
};
// In order, without those given after a reveal. person 0: all people's
std::vector<StandingVote> standing_votes(data::Database& store, int64_t person = 0);

}  // namespace studio
