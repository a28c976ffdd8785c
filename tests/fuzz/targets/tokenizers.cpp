// Tokenizers' files, then a text in the tokenizer that they make.

#include <ATen/ATen.h>

#include "data/text/clip_tokenizer_files.hpp"
#include "data/text/unigram_tokenizer.hpp"
#include "data/text/wordpiece.hpp"
#include "tests/fuzz/support.hpp"
#include "tests/fuzz/target.hpp"

namespace fuzz {
namespace {

using namespace std::string_literals;

namespace fs = std::filesystem;

constexpr const char* kText = "a red <|endoftext|> circle, caf\u00e9 12! \u4e00</s>";

// A folder of these files and no others.
fs::path folder_of(const std::vector<std::pair<std::string, std::string>>& files) {
  fs::create_directories(scratch() / "tokenizer");
  for (const auto& [name, bytes] : files) file_of("tokenizer/" + name, bytes);
  return scratch() / "tokenizer";
}

void use(const data::Tokenizer& tokenizer) {
  const auto ids = data::encode_text(tokenizer, kText);
  data::decode(tokenizer, ids);
  if (tokenizer.max_length <= 1 << 16) data::encode(tokenizer, {kText, ""});
  data::truncation_warnings(tokenizer, {kText});
}

void clip_files(std::string_view input) {
  const auto parts = parts_of(input, 4);
  const fs::path folder = folder_of({{"vocab.json", parts[0]},
                                     {"merges.txt", parts[1]},
                                     {"tokenizer_config.json", parts[2]},
                                     {"added_tokens.json", parts[3]}});
  use(data::load_tokenizer(folder));
}

void clip_json(std::string_view input) {
  fs::remove_all(scratch() / "tokenizer");
  use(data::load_tokenizer(folder_of({{"tokenizer.json", std::string(input)}})));
}

void clip_text(std::string_view input) {
  static const data::Tokenizer tokenizer =
      data::load_tokenizer(fs::path(LAUREL_SOURCE_DIR) / "tests/golden/tokenizer");
  const std::string text(input);
  const auto ids = data::encode_text(tokenizer, text);
  for (const int64_t id : ids)
    require(id >= 0 && id < static_cast<int64_t>(tokenizer.vocab.size()),
            "an id of the vocabulary");
  data::decode(tokenizer, ids);
}

void unigram(const fs::path& file) {
  const auto tokenizer = data::load_unigram_tokenizer(file);
  data::encode_text(tokenizer, kText);
  require(data::encode(tokenizer, {kText}, 8).ids.size(1) == 8, "rows are as long as asked for");
}

void unigram_json(std::string_view input) { unigram(file_of("input.json", input)); }

void spiece(std::string_view input) { unigram(file_of("spiece.model", input)); }

void wordpiece(std::string_view input) {
  const auto parts = parts_of(input, 2);
  const auto tokenizer = data::load_wordpiece(file_of("vocab.txt", parts[0]));
  data::wordpiece_ids(tokenizer, kText);
  data::encode_padded(tokenizer, {parts[1], ""}, 8);
}

// A field of bytes in a protobuf message.
std::string field(int number, const std::string& bytes) {
  std::string length(1, static_cast<char>(bytes.size() & 0x7F));
  if (bytes.size() > 0x7F) {
    length[0] = static_cast<char>(length[0] | 0x80);
    length += static_cast<char>(bytes.size() >> 7);
  }
  return std::string(1, static_cast<char>(number << 3 | 2)) + length + bytes;
}

// A piece of spiece.model: text, score (-1), type.
std::string piece(const std::string& text, char type) {
  return field(1, field(1, text) + "\x15\0\0\x80\xBF\x18"s + type);
}

// A table that replaces a by b: 256 units, of which two are used.
std::string small_charsmap() {
  std::string units(1024, '\0');
  units.replace(4 * 'a', 4, little_endian('a' | 1 << 8 | 1 << 10, 4));
  units.replace(4 * ('a' ^ 1), 4, little_endian(0x80000000, 4));
  return little_endian(units.size(), 4) + units + "b\0"s;
}

std::string small_spiece(const std::string& charsmap) {
  return piece("<pad>", 3) + piece("</s>", 3) + piece("<unk>", 2) + piece("\u2581a", 1) +
         piece("b", 1) + field(2, "\x18\x01") + field(3, field(2, charsmap));
}

const char* const kVocab =
    R"({"<|startoftext|>":0,"<|endoftext|>":1,"a":2,"a</w>":3,"r":4,"e":5,"re":6,"d</w>":7,"red</w>":8})";

}  // namespace

Targets tokenizer_targets() {
  const std::string vocab = kVocab;
  const std::string unigram_text =
      R"({"model":{"type":"Unigram","unk_id":2,"vocab":[["<pad>",0.0],["</s>",0.0],["<unk>",0.0],)"
      R"(["\u2581a",-1.5],["b",-2.0]]},"normalizer":{"type":"Precompiled","precompiled_charsmap":)"
      R"(""},"pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"WhitespaceSplit"},)"
      R"({"type":"Metaspace"}]},"added_tokens":[{"id":1,"content":"</s>"}]})";
  return {
      {.name = "clip_files",
       .run = clip_files,
       .seeds = {vocab + "\n%%\n#version: 0.2\nr e\nre d</w>\n\n%%\n" +
                 R"({"model_max_length": 77, "pad_token": {"content": "<|endoftext|>"}})" +
                 "\n%%\n{\"<sks>\": 9}"},
       .words = {"\n%%\n", "</w>", "<|endoftext|>", "added_tokens_decoder", "single_word",
                 "normalized", "model_max_length", "1e30"}},
      {.name = "clip_json",
       .run = clip_json,
       .seeds =
           {R"({"model":{"type":"BPE","vocab":)" + vocab +
            R"(,"merges":["r e",["re","d</w>"]],"end_of_word_suffix":"</w>"},"added_tokens":)"
            R"([{"id":9,"content":"<sks>","normalized":false}],"normalizer":{"type":"Sequence",)"
            R"("normalizers":[{"type":"NFC"},{"type":"Lowercase"}]}})"},
       .words = {"\"merges\"", "\"content\"", "pre_tokenizer", "ByteLevel", "Lowercase"}},
      {.name = "clip_text",
       .run = clip_text,
       .seeds = {kText, "a small blue square above a large red circle"},
       .words = {"<|startoftext|>", "<|endoftext|>", "'s", "\u0130", "e\u0301", "\u1100\u1161"}},
      {.name = "unigram_json",
       .run = unigram_json,
       .seeds = {unigram_text},
       .words = {"\"vocab\"", "byte_fallback", "\"unk_id\"", "\\u2581", "-1e308"}},
      {.name = "spiece",
       .run = spiece,
       .seeds = {small_spiece(""), small_spiece(small_charsmap())},
       .words = {"\x0A", "\x12", "\x1A", "\x15", "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01"}},
      {.name = "wordpiece",
       .run = wordpiece,
       .seeds = {"[PAD]\n[UNK]\n[CLS]\n[SEP]\na\nred\n##s\n\n%%\nA r\u00e9ds \u4e00!"},
       .golden = {"scorers/vocab.txt"},
       .words = {"[PAD]", "##", "\n%%\n"}},
  };
}

}  // namespace fuzz
