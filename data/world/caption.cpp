#include "data/world/caption.hpp"

#include <algorithm>
#include <set>
#include <sstream>

#include "data/world/grammar.hpp"
#include "data/world/random_stream.hpp"
#include "data/world/words.hpp"

namespace world {
namespace {

// How often a caption mentions more than colour and shape.
constexpr double kSayBackground = 0.35, kSaySize = 0.5, kSayPlaceAlone = 0.55,
                 kSayPlaceOfTwo = 0.12;
constexpr double kSayRelation = 0.5, kPlainOpening = 0.55;

bool alike(const Object& one, const Phrase& phrase) {
  return one.colour == phrase.colour && one.kind == phrase.kind;
}

// Objects of the same colour and kind become one phrase; it has a size when they share it.
std::vector<Phrase> group(const std::vector<Object>& objects) {
  std::vector<Phrase> phrases;
  for (const Object& object : objects) {
    const auto known = std::find_if(phrases.begin(), phrases.end(),
                                    [&](const Phrase& phrase) { return alike(object, phrase); });
    if (known == phrases.end()) {
      phrases.push_back({1, object.size, object.colour, object.kind, std::nullopt});
    } else {
      known->count += 1;
      if (known->size != object.size) known->size.reset();
    }
  }
  return phrases;
}

const Object& object_of(const Phrase& phrase, const Scene& scene) {
  return *std::find_if(scene.objects.begin(), scene.objects.end(),
                       [&](const Object& object) { return alike(object, phrase); });
}

std::optional<Place> random_true_place(const Object& object, RandomStream& random) {
  std::vector<Place> places;
  for (int64_t place = 0; place < kPlaces; ++place) {
    if (place_holds(static_cast<Place>(place), object.x, object.y))
      places.push_back(static_cast<Place>(place));
  }
  if (places.empty()) return std::nullopt;
  return places[static_cast<size_t>(random.below(static_cast<int64_t>(places.size())))];
}

std::optional<Relation> random_true_relation(const Object& one,
                                             const Object& other,
                                             RandomStream& random) {
  std::vector<Relation> relations;
  for (int64_t relation = 0; relation < kRelations; ++relation) {
    if (relation_holds(static_cast<Relation>(relation), one.x, one.y, other.x, other.y))
      relations.push_back(static_cast<Relation>(relation));
  }
  if (relations.empty()) return std::nullopt;
  return relations[static_cast<size_t>(random.below(static_cast<int64_t>(relations.size())))];
}

Sentence random_true_sentence(const Scene& scene, RandomStream& random) {
  Sentence sentence;
  sentence.phrases = group(scene.objects);
  for (size_t index = sentence.phrases.size(); index > 1; --index)
    std::swap(sentence.phrases[index - 1],
              sentence.phrases[static_cast<size_t>(random.below(static_cast<int64_t>(index)))]);
  const size_t count = scene.objects.size();
  const bool two_apart = count == 2 && sentence.phrases.size() == 2;
  if (two_apart && random.chance(kSayRelation)) {
    sentence.relation = random_true_relation(object_of(sentence.phrases[0], scene),
                                             object_of(sentence.phrases[1], scene), random);
  }
  const double say_place = count == 1                        ? kSayPlaceAlone
                           : two_apart && !sentence.relation ? kSayPlaceOfTwo
                                                             : 0;
  const bool places = random.chance(say_place);
  for (Phrase& phrase : sentence.phrases) {
    if (!random.chance(kSaySize)) phrase.size.reset();
    if (places) phrase.place = random_true_place(object_of(phrase, scene), random);
  }
  if (random.chance(kSayBackground)) sentence.background = scene.background.tone;
  return sentence;
}

std::vector<Phrase> all_phrases() {
  std::vector<Phrase> phrases;
  for (int64_t colour = 0; colour < kColours; ++colour) {
    for (int64_t kind = 0; kind < kKinds; ++kind)
      phrases.push_back(
          {1, std::nullopt, static_cast<Colour>(colour), static_cast<Kind>(kind), std::nullopt});
  }
  return phrases;
}

// No value, then every value of an enum with `count` values.
template <typename Value>
std::vector<std::optional<Value>> with_none(int64_t count) {
  std::vector<std::optional<Value>> values = {std::nullopt};
  for (int64_t value = 0; value < count; ++value) values.push_back(static_cast<Value>(value));
  return values;
}

void add_singles(const Phrase& phrase, std::vector<Sentence>& sentences) {
  for (const auto& size : with_none<Size>(kSizes)) {
    for (const auto& place : with_none<Place>(kPlaces)) {
      for (const auto& tone : with_none<Tone>(kTones)) {
        Phrase full = phrase;
        full.size = size;
        full.place = place;
        sentences.push_back({.phrases = {full}, .background = tone});
      }
    }
    for (int64_t count = 2; count <= kMaxObjects; ++count) {
      Phrase many = phrase;
      many.size = size;
      many.count = count;
      sentences.push_back({.phrases = {many}});
    }
  }
}

std::vector<Sentence> all_sentences() {
  std::vector<Sentence> sentences;
  const std::vector<Phrase> phrases = all_phrases();
  for (const Phrase& phrase : phrases) add_singles(phrase, sentences);
  for (size_t one = 0; one < phrases.size(); ++one) {
    for (size_t other = 0; other < phrases.size(); ++other) {
      if (one == other) continue;
      for (const auto& relation : with_none<Relation>(kRelations))
        sentences.push_back({.phrases = {phrases[one], phrases[other]}, .relation = relation});
      const size_t third = (one + 3 * other + 5) % phrases.size();
      if (third != one && third != other)
        sentences.push_back({.phrases = {phrases[one], phrases[other], phrases[third]}});
    }
  }
  return sentences;
}

}  // namespace

std::vector<Claim> parse_caption(const std::string& text) {
  const Sentence sentence = parse(text);
  std::vector<Claim> claims = {{}};
  int64_t object = 0;
  for (const Phrase& phrase : sentence.phrases) {
    for (int64_t copy = 0; copy < phrase.count; ++copy, ++object) {
      claims.push_back({ClaimKind::kColour, object, 0, static_cast<int64_t>(phrase.colour)});
      claims.push_back({ClaimKind::kKind, object, 0, static_cast<int64_t>(phrase.kind)});
      if (phrase.size)
        claims.push_back({ClaimKind::kSize, object, 0, static_cast<int64_t>(*phrase.size)});
      if (phrase.place)
        claims.push_back({ClaimKind::kPlace, object, 0, static_cast<int64_t>(*phrase.place)});
    }
  }
  claims.front().value = object;
  if (sentence.absent)  // such a caption leaves open what else there is
    claims.front() = {ClaimKind::kAbsent, 0, 0, static_cast<int64_t>(*sentence.absent)};
  if (sentence.relation)
    claims.push_back({ClaimKind::kRelation, 0, 1, static_cast<int64_t>(*sentence.relation)});
  if (sentence.background)
    claims.push_back({ClaimKind::kBackground, 0, 0, static_cast<int64_t>(*sentence.background)});
  return claims;
}

std::string caption(const Scene& scene, at::Generator& generator) {
  RandomStream random(generator);
  const Sentence sentence = random_true_sentence(scene, random);
  const bool plain_opening = random.chance(kPlainOpening);
  bool opening = true;  // the first choice of `write` is the opening
  return write(sentence, [&](int64_t count) {
    const bool first = opening;
    opening = false;
    return first && plain_opening ? 0 : random.below(count);
  });
}

std::vector<std::string> all_captions(Split split) {
  std::vector<std::string> captions;
  for (const Sentence& sentence : all_sentences()) {
    if (split_of(sentence) == split) captions.push_back(write(sentence, [](int64_t) { return 0; }));
  }
  return captions;
}

std::vector<std::string> all_words() {
  std::set<std::string> words = {"and", "background", ","};
  for (const WordTable& table :
       {colour_words(), kind_words(), kind_plural_words(), size_words(), place_words(),
        relation_words(), tone_words(), count_words(), opening_words(), background_words()}) {
    for (const Wordings& wordings : table) {
      for (const std::string& text : wordings.texts) {
        std::istringstream stream(text);
        for (std::string word; stream >> word;) words.insert(word);
      }
    }
  }
  return {words.begin(), words.end()};
}

SceneReading truth(const Scene& scene) {
  SceneReading reading;
  reading.background = scene.background.tone;
  for (const Object& object : scene.objects)
    reading.objects.push_back(
        {object.kind, object.colour, object.size, object.scale, object.x, object.y, object.rgb});
  return reading;
}

}  // namespace world
