#pragma once

// Reads a text of a closed grammar word by word: captions and instructions.

#include <optional>
#include <string>
#include <vector>

#include "data/world/words.hpp"
#include "data/world/world.hpp"

namespace world {

class WordReader {
 public:
  // `what` names the text in messages: "caption".
  WordReader(std::string what, const std::string& text);

  bool done() const { return next_ == words_.size(); }

  // Takes the longest wording of a value of the table at this position; none when there is none.
  std::optional<int64_t> take(const WordTable& table);

  // The same; throws BadInput, saying that `what` was expected, when there is none.
  int64_t require(const WordTable& table, const std::string& what);

  [[noreturn]] void fail(const std::string& what, const std::vector<std::string>& candidates) const;

  // "on a white background", "against a .. background", ", .. background"
  std::optional<Tone> take_background();

 private:
  std::string what_;
  std::vector<std::string> words_;
  size_t next_ = 0;

  size_t length_if_here(const std::vector<std::string>& wanted) const;
};

}  // namespace world
