#include "data/text/clip_tokenizer.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "data/text/clip_tokenizer_files.hpp"
#include "data/unicode/characters.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/golden.hpp"
#include "tests/support/paths.hpp"
#include "tests/support/refusal.hpp"

namespace {

namespace fs = std::filesystem;
using data::Tokenizer;
using nlohmann::json;

const fs::path kGolden = golden::folder() / "tokenizer";

// A copy of the golden folder with one file replaced.
fs::path with_file(const std::string& name, const std::string& content) {
  const fs::path folder = tests::fresh_folder();
  for (const char* file : {"vocab.json", "merges.txt", "tokenizer_config.json"})
    fs::copy_file(kGolden / file, folder / file);
  data::write_file(folder / name, content);
  return folder;
}

// file: {"cases": [{"text", "ids"}], "padded": the first texts with bos, eos and padding}
void expect_cases(const Tokenizer& tokenizer, const json& file, const std::string& what) {
  size_t wrong = 0;
  for (const auto& row : file.at("cases")) {
    const auto text = row.at("text").get<std::string>();
    if (data::encode_text(tokenizer, text) == row.at("ids").get<std::vector<int64_t>>()) continue;
    if (++wrong < 5) ADD_FAILURE() << what << ": other ids for: " << data::to_text(row.at("text"));
  }
  SCOPED_TRACE(what + ": of " + std::to_string(file.at("cases").size()));
  golden::expect_agreement("tokenizer, texts with other ids", static_cast<double>(wrong), 0);
  std::vector<std::string> first;
  for (size_t i = 0; i < file.at("padded").size(); ++i)
    first.push_back(file.at("cases").at(i).at("text").get<std::string>());
  const at::Tensor ids = data::encode(tokenizer, first).ids;
  for (size_t i = 0; i < first.size(); ++i) {
    const auto row = file.at("padded").at(i).get<std::vector<int64_t>>();
    EXPECT_TRUE(ids[static_cast<int64_t>(i)].equal(at::tensor(row, at::kLong)))
        << what << ": " << first[i];
  }
}

TEST(Tokenizer, AgreesWithTransformers) {
  expect_cases(data::load_tokenizer(kGolden), data::read_json(kGolden / "cases.json"), "small");
}

TEST(Tokenizer, AgreesWithTransformersOnClipsVocabulary) {
  const fs::path clip = fs::path(tests::source_dir()) / "models" / "clip-tokenizer";
  const Tokenizer tokenizer = data::load_tokenizer(clip);
  EXPECT_EQ(tokenizer.vocab.size(), 49408u);
  const json file = data::read_json(kGolden / "clip_cases.json");
  EXPECT_GT(file.at("cases").size(), 800u);
  expect_cases(tokenizer, file, "clip");
}

TEST(TokenizerParity, AgreesWithTheTextsOfAFolder) {
  const char* folder = std::getenv("LAUREL_TOKENIZER_PARITY");
  if (!folder)
    GTEST_SKIP() << "LAUREL_TOKENIZER_PARITY is not set, see tests/golden/make/make_tokenizer.py";
  const json file = data::read_json(fs::path(folder) / "cases.json");
  expect_cases(data::load_tokenizer(folder), file, folder);
  std::cout << file.at("cases").size() << " texts compared\n";
}

// Variants of settings files found in practice, with vocab.json and merges.txt or with
// tokenizer.json of the same vocabulary; after saving, the ids are the same.
TEST(Tokenizer, TakesSettingsInTheOrderOfTransformers) {
  const json vocab = data::read_json(kGolden / "vocab.json");
  const Tokenizer plain = data::load_tokenizer(kGolden);
  json merges = json::array();
  for (const auto& merge : plain.merges) merges.push_back(merge);
  const json variants = data::read_json(kGolden / "variants.json");
  for (const auto& variant : variants) {
    const auto name = variant.at("name").get<std::string>();
    const fs::path slow = tests::fresh_folder();
    for (const char* file : {"vocab.json", "merges.txt"})
      fs::copy_file(kGolden / file, slow / file);
    for (const auto& [file, content] : variant.at("files").items())
      data::write_file(slow / file, data::to_text(content));
    const Tokenizer tokenizer = data::load_tokenizer(slow);
    expect_cases(tokenizer, variant, name);
    const fs::path again = tests::fresh_folder();
    data::save_tokenizer(again, tokenizer);
    expect_cases(data::load_tokenizer(again), variant, name + " written again");
    const fs::path fast = tests::fresh_folder();
    json file = variant.at("fast").at("tokenizer.json");
    file["model"]["vocab"] = vocab;
    file["model"]["merges"] = merges;
    data::write_file(fast / "tokenizer.json", data::to_text(file));
    data::write_file(fast / "tokenizer_config.json",
                     data::to_text(variant.at("fast").at("tokenizer_config.json")));
    expect_cases(data::load_tokenizer(fast), variant, name + " as tokenizer.json");
  }
}

TEST(Tokenizer, AddedWordsStandWholeAndForSeveralIds) {
  Tokenizer tokenizer = data::train_bpe({"red red"}, 600, 8);
  const auto ids = [&](const char* text) { return data::encode_text(tokenizer, text); };
  const auto reddish = ids("reddish"), accented = ids("éred");
  tokenizer.added.push_back(
      {.content = "red", .id = 900, .normalized = true, .count = 2, .whole_word = true});
  EXPECT_EQ(ids("Red"), (std::vector<int64_t>{900, 901}));
  EXPECT_EQ(ids("(red), red"), [&] {
    auto expected = ids("(");
    for (const int64_t id : {int64_t{900}, int64_t{901}}) expected.push_back(id);
    for (const int64_t id : ids("),")) expected.push_back(id);
    for (const int64_t id : {int64_t{900}, int64_t{901}}) expected.push_back(id);
    return expected;
  }());
  EXPECT_EQ(ids("reddish"), reddish);
  EXPECT_EQ(ids("éred"), accented);
  tokenizer.added.back().whole_word = false;
  EXPECT_EQ(ids("reddish")[0], 900);
}

TEST(Tokenizer, LongWordsTakeNoQuadraticTime) {
  const Tokenizer tokenizer = data::train_bpe({"aaaa aaaa"}, 600, 8);  // a a, aa aa</w>
  const auto start = std::chrono::steady_clock::now();
  const auto ids = data::encode_text(tokenizer, std::string(200'000, 'a'));
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  EXPECT_EQ(ids.size(), 100'000u - 1);  // pairs, the last two as one
  EXPECT_LT(seconds.count(), 5.0);
}

TEST(Tokenizer, LearnsTheMostFrequentPairsFirst) {
  // "ab" occurs 3 times, then "ab" + "c</w>" twice; "x" "y</w>" occurs once and is not learnt.
  const Tokenizer tokenizer = data::train_bpe({"abc", "ABC", "abd xy"}, 600, 8);
  EXPECT_EQ(tokenizer.merges, (std::vector<std::string>{"a b", "ab c</w>"}));
  EXPECT_EQ(tokenizer.vocab.size(), 516u);
  EXPECT_EQ(tokenizer.vocab.at("!"), 0);  // byte 33 leads CLIP's order
  EXPECT_EQ(tokenizer.vocab.at("!</w>"), 256);
  EXPECT_EQ(tokenizer.bos, 514);
  EXPECT_EQ(tokenizer.eos, 515);
  EXPECT_EQ(data::encode_text(tokenizer, "abc"), (std::vector<int64_t>{513}));
  EXPECT_EQ(data::encode_text(tokenizer, "abd"), (std::vector<int64_t>{512, 256 + 'd' - '!'}));
  EXPECT_THROW(data::train_bpe({}, 100, 8), c10::Error);
}

TEST(Tokenizer, PadsAndCutsAndSaysSo) {
  const Tokenizer tokenizer = data::train_bpe({"red red blue blue"}, 600, 4);
  const data::Tokens tokens = data::encode(tokenizer, {"red", "red blue red", ""});
  EXPECT_EQ(tokens.truncated, (std::vector<bool>{false, true, false}));
  const int64_t red = tokenizer.vocab.at("red</w>"), blue = tokenizer.vocab.at("blue</w>");
  const int64_t bos = tokenizer.bos, eos = tokenizer.eos;
  const at::Tensor expected =
      at::tensor({bos, red, eos, eos, bos, red, blue, eos, bos, eos, eos, eos}, at::kLong)
          .view({3, 4});
  EXPECT_TRUE(tokens.ids.equal(expected)) << tokens.ids;
  const auto warnings = data::truncation_warnings(tokenizer, {"red", "red blue red"});
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_EQ(warnings[0], "prompt 2: 3 tokens, the model takes 2; ignored: 'red'");
}

TEST(Tokenizer, SavesWhatItReads) {
  const Tokenizer tokenizer = data::load_tokenizer(kGolden);
  const fs::path folder = tests::fresh_folder();
  data::save_tokenizer(folder, tokenizer);
  const Tokenizer again = data::load_tokenizer(folder);
  EXPECT_EQ(again.vocab, tokenizer.vocab);
  EXPECT_EQ(again.merges, tokenizer.merges);
  EXPECT_EQ(again.max_length, 77);
  EXPECT_EQ(again.pad, tokenizer.eos);
  EXPECT_EQ(data::read_file(folder / "merges.txt"), data::read_file(kGolden / "merges.txt"));
}

TEST(Tokenizer, ReadsTokenizerJsonAlone) {
  const Tokenizer tokenizer = data::train_bpe({"abc abc"}, 600, 8);
  json vocab = json::object();
  for (const auto& [symbol, id] : tokenizer.vocab) vocab[symbol] = id;
  const json merges = json::array({json::array({"a", "b"}), json::array({"ab", "c</w>"})});
  const fs::path folder = tests::fresh_folder();
  const json model = {{"type", "BPE"}, {"vocab", vocab}, {"merges", merges}};
  data::write_file(folder / "tokenizer.json", data::to_text(json{{"model", model}}));
  EXPECT_EQ(data::encode_text(data::load_tokenizer(folder), "abc"),
            data::encode_text(tokenizer, "abc"));
}

TEST(Tokenizer, NamesAnotherKindOfTokenizerJson) {
  const fs::path folder = tests::fresh_folder();
  const auto load = [&](const std::string& content) {
    data::write_file(folder / "tokenizer.json", content);
    return refusal([&] { data::load_tokenizer(folder); });
  };
  const auto expect = [&](const std::string& content, const std::string& part) {
    EXPECT_NE(load(content).find(part), std::string::npos) << load(content);
  };
  expect(R"({"model": {"type": "WordPiece", "vocab": {}}})", "found a WordPiece model");
  expect(R"({"model": {"type": "Unigram", "vocab": [["a", 0.1]]}})", "found a Unigram model");
  expect(R"({"model": {"type": "BPE", "end_of_word_suffix": null, "vocab": {}}})",
         "end_of_word_suffix null");
  expect(R"({"model": {"type": "BPE", "vocab": {}}, "normalizer": {"type": "NFC"}})",
         "NFC without Lowercase");
  expect(R"({"model": {"vocab": {}}, "pre_tokenizer": {"type": "Sequence", "pretokenizers":
             [{"type": "Split"}, {"type": "Digits"}]}})",
         "Split Digits without ByteLevel");
  expect(R"({"model": {"vocab": {"a": 0, "b": 1}, "merges": ["a b"]}})", "merge 'a b'");
  expect(R"({"model": {"vocab": {"a": 0}, "merges": [["a"]]}})", "another kind");
  expect("[]", "expected a JSON object");
}

TEST(Tokenizer, TakesAnotherPaddingToken) {
  const fs::path folder =
      with_file("special_tokens_map.json", R"({"pad_token": {"content": "!"}})");
  EXPECT_EQ(data::load_tokenizer(folder).pad, data::load_tokenizer(folder).vocab.at("!"));
}

TEST(Tokenizer, DecodesWhatItEncodes) {
  const Tokenizer tokenizer = data::load_tokenizer(kGolden);
  EXPECT_EQ(data::decode(tokenizer, data::encode_text(tokenizer, "A  naïve 中 cat!")),
            "a naïve 中 cat !");
}

TEST(Tokenizer, NamesWhatIsWrongWithItsFiles) {
  const auto load = [](const std::string& file, const std::string& content) {
    const fs::path folder = with_file(file, content);
    return refusal([&] { data::load_tokenizer(folder); });
  };
  EXPECT_NE(load("vocab.json", "{").find("vocab.json: expected JSON"), std::string::npos);
  EXPECT_NE(load("vocab.json", "[1]").find("expected an object of symbols"), std::string::npos);
  EXPECT_NE(load("vocab.json", R"({"a": "b"})").find("symbol 'a': expected a whole number"),
            std::string::npos);
  EXPECT_NE(load("vocab.json", R"({"a": 0, "b": 7})").find("each once"), std::string::npos);
  for (const char* id : {"\"one\"", "-1", "1e300", "1.5", "9000000000"})
    EXPECT_NE(load("added_tokens.json", std::string("{\"<x>\": ") + id + "}")
                  .find(std::string("expected an id, found ")),
              std::string::npos)
        << id;
  EXPECT_NE(
      load("special_tokens_map.json", R"({"pad_token": {"content": "!", "single_word": true}})")
          .find("single_word"),
      std::string::npos);
  EXPECT_NE(load("merges.txt", "zzqq yyq\n").find("merge 'zzqq yyq'"), std::string::npos);
  EXPECT_NE(load("tokenizer_config.json", R"({"eos_token": "<end>"})")
                .find("'<end>' is not in the vocabulary"),
            std::string::npos);
  EXPECT_NE(load("tokenizer_config.json", R"({"model_max_length": 1})").find("model_max_length"),
            std::string::npos);
  EXPECT_THROW(data::load_tokenizer(tests::fresh_folder()), data::BadInput);
  const Tokenizer tokenizer = data::load_tokenizer(kGolden);
  EXPECT_NE(refusal([&] { data::encode(tokenizer, {"caf\xe9"}); }).find("expected UTF-8"),
            std::string::npos);
}

TEST(Unicode, ComposesInFormC) {
  EXPECT_TRUE(data::nfc(U"e\u0301") == U"\u00e9");
  EXPECT_TRUE(data::nfc(U"a\u0323\u0302") == U"\u1ead");         // twice
  EXPECT_TRUE(data::nfc(U"a\u0302\u0323") == U"\u1ead");         // marks are put in order first
  EXPECT_TRUE(data::nfc(U"a\u0327\u0310") == U"a\u0327\u0310");  // nothing to compose to
  EXPECT_TRUE(data::nfc(U"\u1100\u1161\u11a8") == U"\uac01");
  EXPECT_TRUE(data::nfc(U"\u212b") == U"\u00c5");  // the Angstrom sign is a letter with a ring
}

TEST(Unicode, DecodesAndReplacesWhatIsNotUtf8) {
  EXPECT_TRUE(data::decode_utf8("a\xf0\x9f\x98\x80") == U"a\U0001f600");
  EXPECT_TRUE(data::decode_utf8("\xc0\x80z") == U"\ufffd\ufffdz");
  EXPECT_EQ(data::encode_utf8(U"\u00e9\u4e2d\U0001f600"), "\xc3\xa9\xe4\xb8\xad\xf0\x9f\x98\x80");
}

TEST(Unicode, KnowsWhereWordsGoOn) {
  const std::string text =
      "aé_1 中b，";  // bytes: a 0, é 1-2, _ 3, 1 4, space 5, 中 6-8, b 9, ， 10
  for (const size_t at : {1, 3, 4, 9}) EXPECT_TRUE(data::inside_word(text, at)) << at;
  for (const size_t at : {0, 5, 6, 10, 13, 99}) EXPECT_FALSE(data::inside_word(text, at)) << at;
}

TEST(Unicode, KnowsClassesAndLowerCase) {
  EXPECT_TRUE(data::is_letter(U'\u4e2d') && !data::is_letter(U'1') && !data::is_letter(U'\u0301'));
  EXPECT_TRUE(data::is_number(U'\u0663') && data::is_number(U'\u2167') && !data::is_number(U'a'));
  EXPECT_TRUE(data::is_space(U'\u3000') && !data::is_space(U'\u200b'));
  EXPECT_TRUE(data::lower(U"A\u00c9\u0130\u0416\U00010400!") == U"a\u00e9i\u0307\u0436\U00010428!");
}

}  // namespace
