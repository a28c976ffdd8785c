#include "data/text/unigram_tokenizer.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "tests/support/golden.hpp"
#include "tests/support/refusal.hpp"

namespace {

namespace fs = std::filesystem;
using data::UnigramTokenizer;

const fs::path kGolden = golden::folder() / "unigram";

// Pieces by hand: "▁ab" at -1, "▁a" at -1.5, "b" at -2, "c" at -3.
UnigramTokenizer tiny() {
  UnigramTokenizer tokenizer;
  int64_t id = 0;
  for (const auto& [text, score] : {std::pair{"<pad>", 0.0},
                                    {"</s>", 0.0},
                                    {"<unk>", 0.0},
                                    {"\u2581ab", -1.0},
                                    {"\u2581a", -1.5},
                                    {"b", -2.0},
                                    {"c", -3.0},
                                    {"\u2581", -4.0}})
    tokenizer.pieces[text] = {id++, score};
  tokenizer.longest_piece = 5;
  tokenizer.unknown_score = -14;
  tokenizer.special = {{"</s>", 1}};
  return tokenizer;
}

TEST(Unigram, TheBestSumOfScoresByHand) {
  using Ids = std::vector<int64_t>;
  EXPECT_EQ(data::encode_text(tiny(), "ab"), (Ids{3}));  // -1 > -1.5 - 2
  EXPECT_EQ(data::encode_text(tiny(), "  ac "), (Ids{4, 6}));
  EXPECT_EQ(data::encode_text(tiny(), "a xyc"), (Ids{4, 7, 2, 6}));  // x, y: one unknown token
  EXPECT_EQ(data::encode_text(tiny(), "ab</s>c"), (Ids{3, 1, 7, 6}));
  EXPECT_EQ(data::encode_text(tiny(), "a\u2581ab"), (Ids{4, 3}));
  EXPECT_EQ(data::encode_text(tiny(), ""), Ids{});
}

TEST(Unigram, RowsEndWithTheEndTokenAndPadding) {
  const auto rows = data::encode(tiny(), {"ab", "", "a b c c"}, 4);
  EXPECT_TRUE(at::equal(rows.ids[0], at::tensor({3, 1, 0, 0}, at::kLong)));
  EXPECT_TRUE(at::equal(rows.ids[1], at::tensor({1, 0, 0, 0}, at::kLong)));
  EXPECT_EQ(rows.ids[2][3].item<int64_t>(), 1);
  EXPECT_EQ(rows.truncated, (std::vector<bool>{false, false, true}));
  EXPECT_THROW(data::encode(tiny(), {"a"}, 0), c10::Error);
}

class UnigramFiles : public testing::TestWithParam<const char*> {};

// LAUREL_UNIGRAM_IDS: another file of texts and ids, of tests/golden/make/make_unigram.py.
TEST_P(UnigramFiles, IdsAreTransformers) {
  const UnigramTokenizer tokenizer = data::load_unigram_tokenizer(kGolden / GetParam());
  const char* named = std::getenv("LAUREL_UNIGRAM_IDS");
  const auto rows = data::read_json(named != nullptr ? fs::path(named) : kGolden / "ids.json");
  ASSERT_GT(rows.size(), 300u);
  for (const auto& row : rows) {
    auto ids = data::encode_text(tokenizer, row[0].get<std::string>());
    ids.push_back(tokenizer.eos);
    EXPECT_EQ(ids, row[1].get<std::vector<int64_t>>()) << data::to_text(row);
  }
}

INSTANTIATE_TEST_SUITE_P(Files,
                         UnigramFiles,
                         testing::Values("spiece.model", "tokenizer.json", ""));

std::string message_of(const std::string& name, const std::string& bytes) {
  const fs::path path = fs::path(testing::TempDir()) / name;
  data::write_file(path, bytes);
  return refusal([&] { data::load_unigram_tokenizer(path); });
}

TEST(UnigramFaults, ACutModelIsRefusedAtEveryLength) {
  const std::string bytes = data::read_file(kGolden / "spiece.model");
  for (size_t length = 0; length < bytes.size(); length += 1 + bytes.size() / 97)
    EXPECT_NE(message_of("cut.model", bytes.substr(0, length)), "") << length;
}

TEST(UnigramFaults, WildBytesEndInIdsOrARefusal) {
  const std::string bytes = data::read_file(kGolden / "spiece.model");
  for (size_t i = 0; i < 60; ++i) {
    std::string wild = bytes;
    const size_t at = (i * 7919 + 3) * 104729 % bytes.size();
    wild[at] = static_cast<char>(wild[at] ^ static_cast<char>(1 + i % 255));
    const fs::path path = fs::path(testing::TempDir()) / "wild.model";
    data::write_file(path, wild);
    try {
      data::encode_text(data::load_unigram_tokenizer(path), "a caf\u00e9 \ufb01ne \uff21");
    } catch (const data::BadInput& error) {
      EXPECT_NE(std::string(error.what()), "");
    }
  }
}

TEST(UnigramFaults, OtherKindsAreNamed) {
  const auto refused = [](const std::string& change, const nlohmann::json& value,
                          const std::string& expected) {
    auto object = data::read_json(kGolden / "tokenizer.json");
    object[nlohmann::json::json_pointer(change)] = value;
    const std::string message = message_of("other.json", data::to_text(object));
    EXPECT_NE(message.find(expected), std::string::npos) << message;
  };
  refused("/model/type", "BPE", "model: type: expected Unigram, found \"BPE\"");
  refused("/model/byte_fallback", true, "byte_fallback");
  refused("/model/unk_id", 9999, "unk_id");
  refused("/model/vocab/5", 3, "pairs of a piece and a score");
  refused("/normalizer/type", "NFKC", "expected Precompiled, found \"NFKC\"");
  refused("/normalizer/precompiled_charsmap", "AAAA", "precompiled_charsmap");
  refused("/pre_tokenizer", nullptr, "expected WhitespaceSplit, then Metaspace");
  refused("/added_tokens/0", 3, "added_tokens");
  EXPECT_NE(message_of("empty.model", "").find("expected </s> among them"), std::string::npos);
  EXPECT_NE(refusal([] { data::load_unigram_tokenizer(testing::TempDir()); }).find("found neither"),
            std::string::npos);
  EXPECT_NE(refusal([] { data::encode_text(tiny(), "\xff"); }).find("UTF-8"), std::string::npos);
}

}  // namespace
