#pragma once

// The closed grammar of captions: writes a Sentence as text and parses text.

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "data/world/words.hpp"
#include "data/world/world.hpp"

namespace world {

// "two small red circles", "a red circle in the top left corner"
struct Phrase {
  int64_t count = 1;
  std::optional<Size> size;
  Colour colour = Colour::kRed;
  Kind kind = Kind::kCircle;
  std::optional<Place> place;  // only where count is 1
};

struct Sentence {
  std::vector<Phrase> phrases;  // in the order of the text, three objects at most
  std::optional<Relation>
      relation{};  // of the first phrase to the second; only with two phrases of count 1
  std::optional<Kind> absent{};  // "and no square": a shape that the picture must not have
  std::optional<Tone> background{};
};

// Chooses one of `count` wordings; 0 is the plain one.
using Choose = std::function<int64_t(int64_t count)>;

// A wording of a value, among those that are written.
const std::string& wording(const WordTable& table, int64_t value, const Choose& choose);

// The text of a sentence: lower case, at most 28 words, and three more with an absent shape.
std::string write(const Sentence& sentence, const Choose& choose);
// Every text that `write` can give for a sentence, distinct, the plain one first.
std::vector<std::string> all_wordings(const Sentence& sentence);

// Parses every wording. Throws data::BadInput with the first word outside the grammar.
Sentence parse(const std::string& text);

// kUnseen when the sentence names a held-out combination.
Split split_of(const Sentence& sentence);

// Plain names, for reports.
std::string name(Kind kind);
std::string name(Colour colour);
std::string name(Size size);
std::string name(Tone tone);
std::string name(Place place);
std::string name(Relation relation);

}  // namespace world
