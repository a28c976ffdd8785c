#include "data/world/edit_text.hpp"

#include "data/base/error.hpp"
#include "data/world/grammar.hpp"
#include "data/world/word_reader.hpp"

namespace world {
namespace {

enum Verb { kMake, kMove, kAdd, kRemove, kSwap };

const WordTable& verb_words() {
  static const WordTable table = {{{"make", "turn", "paint"}},
                                  {{"move", "shift"}},
                                  {{"add", "draw"}},
                                  {{"remove", "delete"}},
                                  {{"swap", "exchange"}}};
  return table;
}

const WordTable& direction_words() {
  static const WordTable table = {{{"left", "to the left"}},
                                  {{"right", "to the right"}},
                                  {{"up", "upwards"}, 1},
                                  {{"down", "downwards"}, 1}};
  return table;
}

const WordTable kThe = {{{"the"}}}, kAnd = {{{"and", "with"}, 1}},
                kBackgroundWord = {{{"background"}}};

bool alone_of_its_kind(const Scene& scene, size_t object) {
  size_t alike = 0;
  for (const Object& other : scene.objects) alike += other.kind == scene.objects[object].kind;
  return alike == 1;
}

std::string reference(const Scene& scene, size_t object, const Choose& choose) {
  const Object& one = scene.objects[object];
  const bool brief = alone_of_its_kind(scene, object) && choose(2) == 1;
  const std::string colour =
      brief ? "" : wording(colour_words(), static_cast<int64_t>(one.colour), choose) + " ";
  return "the " + colour + wording(kind_words(), static_cast<int64_t>(one.kind), choose);
}

size_t read_reference(WordReader& reader, const Scene& scene) {
  reader.require(kThe, "'the'");
  const auto colour = reader.take(colour_words());
  const int64_t kind = reader.require(kind_words(), colour ? "a shape" : "a colour or a shape");
  std::optional<size_t> found;
  for (size_t index = 0; index < scene.objects.size(); ++index) {
    const Object& object = scene.objects[index];
    if (static_cast<int64_t>(object.kind) != kind) continue;
    if (colour && static_cast<int64_t>(object.colour) != *colour) continue;
    if (found) {
      throw data::BadInput("instruction: expected one " + name(object.kind) +
                           " in the scene, found several; name its colour");
    }
    found = index;
  }
  if (found) return *found;
  const std::string meant =
      (colour ? name(static_cast<Colour>(*colour)) + " " : "") + name(static_cast<Kind>(kind));
  throw data::BadInput("instruction: expected a shape of the scene, found 'the " + meant +
                       "'; name one that the scene has");
}

void read_look(WordReader& reader, const Scene& scene, Edit& edit) {
  WordReader ahead = reader;
  ahead.take(kThe);
  if (ahead.take(kBackgroundWord)) {
    reader = ahead;
    edit.operation = EditOperation::kBackground;
    edit.tone = static_cast<Tone>(reader.require(tone_words(), "a background's tone"));
    return;
  }
  edit.object = read_reference(reader, scene);
  if (const auto size = reader.take(size_words())) {
    edit.operation = EditOperation::kResize;
    edit.size = static_cast<Size>(*size);
    return;
  }
  edit.operation = EditOperation::kRecolour;
  edit.colour = static_cast<Colour>(reader.require(colour_words(), "a colour or a size"));
}

void read_addition(WordReader& reader, Edit& edit) {
  edit.operation = EditOperation::kAdd;
  if (reader.require(count_words(), "'a'") != 0) reader.fail("one shape", {});
  edit.size = static_cast<Size>(reader.require(size_words(), "a size"));
  edit.colour = static_cast<Colour>(reader.require(colour_words(), "a colour"));
  edit.kind = static_cast<Kind>(reader.require(kind_words(), "a shape"));
  edit.place = static_cast<Place>(reader.require(place_words(), "a place"));
}

}  // namespace

std::string instruction(const Scene& source, const Edit& edit, RandomStream& random) {
  const Choose choose = [&](int64_t count) { return random.below(count); };
  const auto verb = [&](Verb value) { return wording(verb_words(), value, choose) + " "; };
  const auto word = [&](const WordTable& table, auto value) {
    return wording(table, static_cast<int64_t>(value), choose);
  };
  const auto named = [&](size_t object) { return reference(source, object, choose); };
  switch (edit.operation) {
    case EditOperation::kRecolour:
      return verb(kMake) + named(edit.object) + " " + word(colour_words(), edit.colour);
    case EditOperation::kMove:
      return verb(kMove) + named(edit.object) + " " + word(direction_words(), edit.direction);
    case EditOperation::kAdd:
      return verb(kAdd) + "a " + word(size_words(), edit.size) + " " +
             word(colour_words(), edit.colour) + " " + word(kind_words(), edit.kind) + " " +
             word(place_words(), edit.place);
    case EditOperation::kRemove:
      return verb(kRemove) + named(edit.object);
    case EditOperation::kResize:
      return "make " + named(edit.object) + " " + word(size_words(), edit.size);
    case EditOperation::kSwap:
      return verb(kSwap) + named(edit.object) + " and " + named(edit.other);
    case EditOperation::kBackground:
      return verb(kMake) + "the background " + word(tone_words(), edit.tone);
  }
  return "";
}

Edit parse_instruction(const std::string& text, const Scene& source) {
  WordReader reader("instruction", text);
  Edit edit;
  switch (reader.require(verb_words(), "a verb")) {
    case kMake:
      read_look(reader, source, edit);
      break;
    case kMove:
      edit.operation = EditOperation::kMove;
      edit.object = read_reference(reader, source);
      edit.direction = static_cast<Direction>(reader.require(direction_words(), "a direction"));
      break;
    case kAdd:
      read_addition(reader, edit);
      break;
    case kRemove:
      edit.operation = EditOperation::kRemove;
      edit.object = read_reference(reader, source);
      break;
    default:
      edit.operation = EditOperation::kSwap;
      edit.object = read_reference(reader, source);
      reader.require(kAnd, "'and'");
      edit.other = read_reference(reader, source);
      if (edit.other == edit.object) reader.fail("two shapes", {});
  }
  if (!reader.done()) reader.fail("the end of the instruction", {});
  return edit;
}

std::string subject(const Scene& source, const Edit& edit) {
  if (edit.operation == EditOperation::kBackground) return "the background";
  if (edit.operation == EditOperation::kAdd)
    return "the " + name(edit.colour) + " " + name(edit.kind);
  const Object& object = source.objects[edit.object];
  return "the " + name(object.colour) + " " + name(object.kind);
}

std::string name(EditOperation operation) {
  constexpr std::array<const char*, kOperations> names = {"recolour", "move", "add",       "remove",
                                                          "resize",   "swap", "background"};
  return names[static_cast<size_t>(operation)];
}

std::string past_participle(EditOperation operation) {
  constexpr std::array<const char*, kOperations> participles = {
      "recoloured", "moved", "added", "removed", "resized", "swapped", "changed"};
  return participles[static_cast<size_t>(operation)];
}

}  // namespace world
