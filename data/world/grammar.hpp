#pragma once

// The closed grammar of captions: a Sentence, its wordings, and the way back from text.

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
      relation;  // of the first phrase to the second; then there are exactly two of count 1
  std::optional<Tone> background;
};

// Picks one of `count` wordings; the first is the plain one.
using Choose = std::function<int64_t(int64_t count)>;

// One of the written wordings of a value of the table.
const std::string& wording(const WordTable& table, int64_t value, const Choose& choose);

// All lower case, at most 28 words.
std::string write(const Sentence& sentence, const Choose& choose);

// The way back, for every wording. Throws data::BadInput naming the word where the text leaves the
// grammar.
Sentence parse(const std::string& text);

// Does it name a held-out combination?
Split split_of(const Sentence& sentence);

// Plain names, for reports.
std::string name(Kind kind);
std::string name(Colour colour);
std::string name(Size size);
std::string name(Tone tone);
std::string name(Place place);
std::string name(Relation relation);

}  // namespace world
