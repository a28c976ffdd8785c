// The files of a unigram tokenizer: SentencePiece's spiece.model and Hugging Face's tokenizer.json.

#include <algorithm>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>

#include "data/base/base64.hpp"
#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "data/text/unigram_tokenizer.hpp"
#include "data/unicode/utf8.hpp"

using nlohmann::json;
namespace fs = std::filesystem;

namespace data {
namespace {

constexpr double kUnknownPenalty = 10;   // below the lowest score
constexpr int64_t kExtraTokens = 100;    // of T5
constexpr size_t kMostPieces = 1 << 22;  // more would be no vocabulary

// One field of a protobuf message.
struct WireField {
  uint64_t number = 0;
  uint64_t value = 0;        // of a varint or of 32 or 64 bits
  std::string_view bytes{};  // of a length-delimited one
};

// Reads the fields of a protobuf message one after the other. Throws BadInput when it is cut.
class Message {
 public:
  Message(std::string_view bytes, const std::string& source) : rest_(bytes), source_(source) {}

  std::optional<WireField> next() {
    if (rest_.empty()) return std::nullopt;
    const uint64_t key = varint();
    WireField field{.number = key >> 3};
    switch (key & 7) {
      case 0:
        field.value = varint();
        break;
      case 1:
        field.value = fixed(8);
        break;
      case 2:
        field.bytes = take(varint());
        break;
      case 5:
        field.value = fixed(4);
        break;
      default:
        refuse();
    }
    return field;
  }

 private:
  [[noreturn]] void refuse() const {
    throw BadInput(source_ +
                   ": expected SentencePiece's model (spiece.model), found bytes that are " +
                   "none; the file is damaged or of another kind");
  }
  std::string_view take(uint64_t count) {
    if (count > rest_.size()) refuse();
    const std::string_view taken = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return taken;
  }
  uint64_t fixed(size_t count) {
    uint64_t result = 0;
    const std::string_view bytes = take(count);
    for (size_t i = 0; i < count; ++i)
      result |= static_cast<uint64_t>(static_cast<uint8_t>(bytes[i])) << (8 * i);
    return result;
  }
  uint64_t varint() {
    uint64_t result = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<uint8_t>(take(1)[0]);
      result |= static_cast<uint64_t>(byte & 0x7F) << shift;
      if ((byte & 0x80) == 0) return result;
    }
    refuse();
  }

  std::string_view rest_;
  const std::string& source_;
};

void check(bool good,
           const std::string& source,
           const std::string& what,
           const std::string& expected,
           const std::string& found) {
  if (!good) throw BadInput(source + ": " + what + ": expected " + expected + ", found " + found);
}

// Adds the next id's piece.
void add_piece(UnigramTokenizer& tokenizer,
               const std::string& text,
               double score,
               const std::string& source) {
  const auto id = static_cast<int64_t>(tokenizer.pieces.size());
  check(!text.empty() && is_utf8(text), source, "piece " + std::to_string(id), "a UTF-8 text",
        "none");
  check(std::isfinite(score), source, "piece " + std::to_string(id) + ": score", "a number",
        "another value");
  check(tokenizer.pieces.size() < kMostPieces, source, "pieces",
        "at most " + std::to_string(kMostPieces), "more");
  const bool added = tokenizer.pieces.emplace(text, UnigramPiece{id, score}).second;
  check(added, source, "piece " + std::to_string(id), "another than those before it",
        "'" + printable(text) + "' again");
  tokenizer.longest_piece = std::max(tokenizer.longest_piece, text.size());
}

int64_t id_of(const UnigramTokenizer& tokenizer, const char* text, const std::string& source) {
  const auto found = tokenizer.pieces.find(text);
  check(found != tokenizer.pieces.end(), source, "pieces", std::string(text) + " among them",
        "none");
  return found->second.id;
}

// What follows from all pieces.
void finish(UnigramTokenizer& tokenizer, const std::string& source) {
  double lowest = 0;
  for (const auto& [text, piece] : tokenizer.pieces) lowest = std::min(lowest, piece.score);
  tokenizer.unknown_score = lowest - kUnknownPenalty;
  tokenizer.eos = id_of(tokenizer, "</s>", source);
  tokenizer.pad = id_of(tokenizer, "<pad>", source);
}

// Kinds of pieces in SentencePiece's ModelProto.
enum PieceType : uint64_t { kUnknownPiece = 2, kBytePiece = 6 };

void read_piece(std::string_view bytes, UnigramTokenizer& tokenizer, const std::string& source) {
  std::string text;
  float score = 0;
  uint64_t type = 1;
  Message message(bytes, source);
  while (const auto field = message.next()) {
    if (field->number == 1) text = field->bytes;
    if (field->number == 3) type = field->value;
    if (field->number == 2) {
      const auto bits = static_cast<uint32_t>(field->value);
      std::memcpy(&score, &bits, sizeof score);
    }
  }
  check(type != kBytePiece, source, "piece '" + printable(text) + "'", "none of a single byte",
        "one (byte_fallback, which laurel lacks)");
  if (type == kUnknownPiece) tokenizer.unknown = static_cast<int64_t>(tokenizer.pieces.size());
  add_piece(tokenizer, text, static_cast<double>(score), source);
}

void check_trainer(std::string_view bytes, const std::string& source) {
  constexpr uint64_t kModelType = 3, kUnigram = 1;
  Message message(bytes, source);
  while (const auto field = message.next()) {
    if (field->number != kModelType) continue;
    check(field->value == kUnigram, source, "model_type", "unigram",
          field->value == 2 ? "BPE" : "another");
  }
}

void read_normalizer(std::string_view bytes,
                     UnigramTokenizer& tokenizer,
                     const std::string& source) {
  constexpr uint64_t kCharsmap = 2;
  Message message(bytes, source);
  while (const auto field = message.next()) {
    if (field->number == kCharsmap) tokenizer.normalizer = parse_precompiled(field->bytes, source);
  }
}

UnigramTokenizer from_sentencepiece(const fs::path& path) {
  const std::string source = path.string(), bytes = read_file(path);
  UnigramTokenizer tokenizer;
  Message model(bytes, source);
  while (const auto field = model.next()) {
    if (field->number == 1) read_piece(field->bytes, tokenizer, source);
    if (field->number == 2) check_trainer(field->bytes, source);
    if (field->number == 3) read_normalizer(field->bytes, tokenizer, source);
  }
  for (int64_t i = kExtraTokens - 1; i >= 0; --i) {
    const std::string token = "<extra_id_" + std::to_string(i) + ">";
    tokenizer.special[token] = static_cast<int64_t>(tokenizer.pieces.size());
    add_piece(tokenizer, token, 0, source);
  }
  finish(tokenizer, source);
  for (const char* token : {"<pad>", "</s>", "<unk>"})
    tokenizer.special[token] = id_of(tokenizer, token, source);
  return tokenizer;
}

// object[key], or null where it is absent.
json at_key(const json& object, const char* key) {
  return object.is_object() ? object.value(key, json()) : json();
}

void read_vocab(const json& model, UnigramTokenizer& tokenizer, const std::string& source) {
  check(at_key(model, "type") == "Unigram", source, "model: type", "Unigram",
        to_text(at_key(model, "type")));
  check(at_key(model, "byte_fallback") != true, source, "model: byte_fallback", "false",
        "true, which laurel lacks");
  const json vocab = at_key(model, "vocab"), unknown = at_key(model, "unk_id");
  check(vocab.is_array(), source, "model: vocab", "a list of pieces and scores", "none");
  for (const auto& entry : vocab) {
    const bool good =
        entry.is_array() && entry.size() == 2 && entry[0].is_string() && entry[1].is_number();
    check(good, source, "model: vocab", "pairs of a piece and a score",
          shortened(to_text(entry), 60));
    add_piece(tokenizer, entry[0].get<std::string>(), entry[1].get<double>(), source);
  }
  check(unknown.is_number_unsigned() && unknown.get<uint64_t>() < tokenizer.pieces.size(), source,
        "model: unk_id", "a piece's number", to_text(unknown));
  tokenizer.unknown = unknown.get<int64_t>();
}

// The one normaliser and the one cut into words that T5's files have.
void read_steps(const json& object, UnigramTokenizer& tokenizer, const std::string& source) {
  const json normalizer = at_key(object, "normalizer");
  if (!normalizer.is_null()) {
    const json charsmap = at_key(normalizer, "precompiled_charsmap");
    check(at_key(normalizer, "type") == "Precompiled" && charsmap.is_string(), source,
          "normalizer: type", "Precompiled", shortened(to_text(at_key(normalizer, "type")), 60));
    tokenizer.normalizer = parse_precompiled(from_base64(charsmap.get<std::string>()), source);
  }
  std::vector<std::string> steps;
  const json list = at_key(at_key(object, "pre_tokenizer"), "pretokenizers");
  for (const auto& step : list) {
    const json type = at_key(step, "type");
    steps.push_back(type.is_string() ? type.get<std::string>() : "?");
  }
  check(steps == std::vector<std::string>{"WhitespaceSplit", "Metaspace"}, source, "pre_tokenizer",
        "WhitespaceSplit, then Metaspace",
        shortened(to_text(at_key(object, "pre_tokenizer")), 120));
}

UnigramTokenizer from_tokenizer_json(const fs::path& path) {
  const std::string source = path.string();
  const json object = read_json_object(path);
  UnigramTokenizer tokenizer;
  read_vocab(at_key(object, "model"), tokenizer, source);
  read_steps(object, tokenizer, source);
  finish(tokenizer, source);
  for (const auto& token : at_key(object, "added_tokens")) {
    const json content = at_key(token, "content"), id = at_key(token, "id");
    check(content.is_string() && !content.get<std::string>().empty() && id.is_number_unsigned(),
          source, "added_tokens", "a text and an id", shortened(to_text(token), 120));
    tokenizer.special[content.get<std::string>()] = id.get<int64_t>();
  }
  return tokenizer;
}

}  // namespace

UnigramTokenizer load_unigram_tokenizer(const fs::path& folder_or_file) {
  fs::path file = folder_or_file;
  std::error_code error;
  if (fs::is_directory(folder_or_file, error)) {
    file = folder_or_file / "tokenizer.json";
    if (!fs::exists(file)) file = folder_or_file / "spiece.model";
    if (!fs::exists(file)) {
      throw BadInput(folder_or_file.string() +
                     ": expected tokenizer.json or spiece.model of T5, found neither");
    }
  }
  return file.extension() == ".json" ? from_tokenizer_json(file) : from_sentencepiece(file);
}

}  // namespace data
