#pragma once

// The word tables of the grammar: the wordings of each value, the plain one first. Wordings after
// the first `written` are parsed but never written.

#include <cstdint>
#include <string>
#include <vector>

namespace world {

struct Wordings {
  std::vector<std::string> texts;
  int64_t written = 0;  // 0: all
};
using WordTable = std::vector<Wordings>;  // indexed by the value

const WordTable& colour_words();
const WordTable& kind_words();  // singular
const WordTable& kind_plural_words();
const WordTable& size_words();
const WordTable& place_words();
const WordTable& relation_words();
const WordTable& tone_words();
const WordTable& count_words();       // 0: "a" and "an", 1: "two", 2: "three"
const WordTable& opening_words();     // before the sentence; the plain one is empty
const WordTable& background_words();  // before the tone; "background" follows

}  // namespace world
