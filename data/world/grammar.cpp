#include "data/world/grammar.hpp"

#include <algorithm>

#include "data/base/error.hpp"
#include "data/world/word_reader.hpp"
#include "data/world/words.hpp"

namespace world {
namespace {

const std::string& plain(const WordTable& table, int64_t value) {
  return table[static_cast<size_t>(value)].texts.front();
}

std::string write_phrase(const Phrase& phrase, const Choose& choose) {
  std::string text;
  if (phrase.size) text += wording(size_words(), static_cast<int64_t>(*phrase.size), choose) + " ";
  text += wording(colour_words(), static_cast<int64_t>(phrase.colour), choose) + " ";
  const WordTable& kinds = phrase.count > 1 ? kind_plural_words() : kind_words();
  text += wording(kinds, static_cast<int64_t>(phrase.kind), choose);
  if (phrase.place)
    text += " " + wording(place_words(), static_cast<int64_t>(*phrase.place), choose);
  const bool vowel = std::string("aeiou").find(text.front()) != std::string::npos;
  const std::string count = phrase.count > 1 ? plain(count_words(), phrase.count - 1)
                            : vowel          ? "an"
                                             : "a";
  return count + " " + text;
}

Phrase parse_phrase(WordReader& reader) {
  Phrase phrase;
  phrase.count = reader.require(count_words(), "a number (a, two or three)") + 1;
  if (const auto size = reader.take(size_words())) phrase.size = static_cast<Size>(*size);
  phrase.colour = static_cast<Colour>(reader.require(colour_words(), "a colour"));
  const bool many = phrase.count > 1;
  phrase.kind = static_cast<Kind>(reader.require(many ? kind_plural_words() : kind_words(),
                                                 many ? "a shape, in the plural" : "a shape"));
  if (many) return phrase;
  if (const auto place = reader.take(place_words())) phrase.place = static_cast<Place>(*place);
  return phrase;
}

int64_t count_objects(const Sentence& sentence) {
  int64_t count = 0;
  for (const Phrase& phrase : sentence.phrases) count += phrase.count;
  return count;
}

}  // namespace

const std::string& wording(const WordTable& table, int64_t value, const Choose& choose) {
  const Wordings& wordings = table[static_cast<size_t>(value)];
  const int64_t all = static_cast<int64_t>(wordings.texts.size());
  return wordings.texts[static_cast<size_t>(choose(wordings.written > 0 ? wordings.written : all))];
}

std::string write(const Sentence& sentence, const Choose& choose) {
  std::string text = wording(opening_words(), 0, choose);
  if (!text.empty()) text += " ";
  const size_t count = sentence.phrases.size();
  for (size_t index = 0; index < count; ++index) {
    if (index > 0 && sentence.relation) {
      text +=
          " " + wording(relation_words(), static_cast<int64_t>(*sentence.relation), choose) + " ";
    } else if (index > 0) {
      text += index + 1 < count ? ", " : " and ";
    }
    text += write_phrase(sentence.phrases[index], choose);
  }
  if (sentence.absent)
    text += " and no " + plain(kind_words(), static_cast<int64_t>(*sentence.absent));
  if (!sentence.background) return text;
  const std::string before = wording(background_words(), 0, choose);
  return text + (before == "," ? "" : " ") + before + " " +
         wording(tone_words(), static_cast<int64_t>(*sentence.background), choose) + " background";
}

std::vector<std::string> all_wordings(const Sentence& sentence) {
  std::vector<std::string> texts;
  std::vector<int64_t> choices, counts;  // one a choice of `write`, in its order
  do {
    size_t place = 0;
    texts.push_back(write(sentence, [&](int64_t count) {
      if (place == choices.size()) choices.push_back(0);
      counts.resize(std::max(counts.size(), place + 1));
      counts[place] = count;
      return choices[place++];
    }));
    while (!choices.empty() && ++choices.back() == counts[choices.size() - 1]) choices.pop_back();
  } while (!choices.empty());
  return texts;
}

Sentence parse(const std::string& text) {
  WordReader reader("caption", text);
  Sentence sentence;
  reader.take(opening_words());
  sentence.phrases.push_back(parse_phrase(reader));
  while (!reader.done()) {
    if (const auto tone = reader.take_background()) {
      sentence.background = tone;
      if (!reader.done()) reader.fail("the end of the caption", {});
      break;
    }
    if (sentence.absent) reader.fail("'on a .. background' or the end of the caption", {});
    if (reader.take({{{"and no", ", no", "without a"}}})) {
      sentence.absent = static_cast<Kind>(reader.require(kind_words(), "a shape"));
      continue;
    }
    const bool may_relate = sentence.phrases.size() == 1 && sentence.phrases[0].count == 1;
    const auto relation = may_relate ? reader.take(relation_words()) : std::nullopt;
    if (relation) {
      sentence.relation = static_cast<Relation>(*relation);
    } else {
      const WordTable joins = {{{",", "and", ", and"}}};
      if (sentence.relation || !reader.take(joins))
        reader.fail("'and', a relation, or 'on a .. background'", {});
    }
    sentence.phrases.push_back(parse_phrase(reader));
    if (relation && sentence.phrases.back().count > 1)
      reader.fail("one shape after a relation", {});
    if (count_objects(sentence) > kMaxObjects)
      throw data::BadInput("caption: expected at most " + std::to_string(kMaxObjects) +
                           " shapes, found " + std::to_string(count_objects(sentence)) +
                           "; name fewer");
  }
  return sentence;
}

Split split_of(const Sentence& sentence) {
  const bool unseen =
      std::any_of(sentence.phrases.begin(), sentence.phrases.end(),
                  [](const Phrase& phrase) { return held_out(phrase.colour, phrase.kind); });
  return unseen ? Split::kUnseen : Split::kSeen;
}

std::string name(Kind kind) { return plain(kind_words(), static_cast<int64_t>(kind)); }
std::string name(Colour colour) { return plain(colour_words(), static_cast<int64_t>(colour)); }
std::string name(Size size) { return plain(size_words(), static_cast<int64_t>(size)); }
std::string name(Tone tone) { return plain(tone_words(), static_cast<int64_t>(tone)); }
std::string name(Place place) { return plain(place_words(), static_cast<int64_t>(place)); }
std::string name(Relation relation) {
  return plain(relation_words(), static_cast<int64_t>(relation));
}

}  // namespace world
