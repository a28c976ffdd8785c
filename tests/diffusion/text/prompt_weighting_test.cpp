#include "diffusion/text/prompt_weighting.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "data/base/error.hpp"
#include "data/base/json.hpp"
#include "data/text/clip_tokenizer_files.hpp"
#include "data/weights/safetensors.hpp"
#include "diffusion/checkpoints/diffusers_folder.hpp"
#include "diffusion/pipeline/generate.hpp"
#include "diffusion/pipeline/pipeline.hpp"
#include "tests/support/paths.hpp"
#include "tests/support/refusal.hpp"
#include "tests/support/tiny/pipeline.hpp"

namespace {

namespace fs = std::filesystem;
using diffusion::PromptChunk;
using diffusion::WeightedText;
using Pieces = std::vector<WeightedText>;

const fs::path kGolden = fs::path(tests::source_dir()) / "tests" / "golden";

// A tokenizer of 8 ids a prompt, and its words.
data::Tokenizer short_tokenizer() {
  return data::train_bpe({"red blue green , red blue green ,"}, 600, 8);
}

TEST(Prompt, ReadsTheExamplesOfItsDocumentation) {
  const auto parse = diffusion::parse_weights;
  EXPECT_EQ(parse("normal text"), (Pieces{{"normal text", 1.0}}));
  EXPECT_EQ(parse("an (important) word"),
            (Pieces{{"an ", 1.0}, {"important", 1.1}, {" word", 1.0}}));
  EXPECT_EQ(parse("(unbalanced"), (Pieces{{"unbalanced", 1.1}}));
  EXPECT_EQ(parse("\\(literal\\]"), (Pieces{{"(literal]", 1.0}}));
  EXPECT_EQ(parse("(unnecessary)(parens)"), (Pieces{{"unnecessaryparens", 1.1}}));
  EXPECT_EQ(parse("(word:1.3)"), (Pieces{{"word", 1.3}}));
  EXPECT_EQ(parse("[word]"), (Pieces{{"word", 1 / 1.1}}));
  EXPECT_EQ(parse(""), (Pieces{{"", 1.0}}));
  EXPECT_EQ(parse("(a:x)"), (Pieces{{"a:x", 1.1}}));  // no number: text
  EXPECT_EQ(parse("a) b]"), (Pieces{{"a) b]", 1.0}}));
  EXPECT_EQ(parse("a  BREAK b"), (Pieces{{"a", 1.0}, {"BREAK", -1.0}, {"b", 1.0}}));
  EXPECT_EQ(parse("BREAKFAST"), (Pieces{{"BREAKFAST", 1.0}}));
  const Pieces nested = parse("a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).");
  ASSERT_EQ(nested.size(), 9u);
  EXPECT_EQ(nested[1], (WeightedText{"house", 1.3 * 1.1 * 1.1}));
  EXPECT_EQ(nested[5], (WeightedText{"hill", 0.5 * 1.1}));
  EXPECT_EQ(nested[8], (WeightedText{".", 1.1}));
}

TEST(Prompt, RefusesWhatItDoesNotSupportByName) {
  const auto message = [](const std::string& prompt) {
    return refusal([&] { diffusion::parse_weights(prompt); });
  };
  EXPECT_NE(message("a cat AND a dog").find("AND (composed prompts)"), std::string::npos);
  EXPECT_NE(message("a [cat:dog:0.5]").find("(prompt editing)"), std::string::npos);
  EXPECT_NE(message("a [cat: 5]").find("(prompt editing)"), std::string::npos);
  EXPECT_NE(message("a [cat::.5] b").find("(prompt editing)"), std::string::npos);
  EXPECT_NE(message("a [cat|dog] b").find("(alternation)"), std::string::npos);
  EXPECT_NE(message("(a:1.2.3)").find("weight '1.2.3': expected a number"), std::string::npos);
  EXPECT_NE(message("(a:.)").find("weight '.'"), std::string::npos);
  for (const char* fine :
       {"ANDROID", "a|b", "(a|b)", "[a:b]", "\\[a|b\\]", "[a (b:1.2)]", ":]", "[["})
    EXPECT_EQ(message(fine), "") << fine;
}

TEST(Prompt, IsA1111s) {
  const auto tokenizer = data::load_tokenizer(kGolden / "pipeline" / "tokenizer");
  const auto rows = data::read_json(kGolden / "prompts.json");
  size_t compared = 0;
  for (const auto& row : rows) {
    const auto prompt = row.at("prompt").get<std::string>();
    Pieces pieces, expected;
    const std::string refused = refusal([&] { pieces = diffusion::parse_weights(prompt); });
    if (!refused.empty()) {  // "[red:1.2]": the web UI would edit the prompt while sampling
      EXPECT_NE(refused.find("prompt editing"), std::string::npos) << refused;
      continue;
    }
    for (const auto& piece : row.at("pieces"))
      expected.push_back({piece.at(0).get<std::string>(), piece.at(1).get<double>()});
    EXPECT_EQ(pieces, expected) << prompt;
    std::vector<PromptChunk> chunks;
    for (const auto& chunk : row.at("chunks")) {
      chunks.push_back(
          {chunk.at(0).get<std::vector<int64_t>>(), chunk.at(1).get<std::vector<double>>()});
    }
    EXPECT_EQ(diffusion::chunks_of(tokenizer, pieces), chunks) << prompt;
    ++compared;
  }
  EXPECT_GT(compared, 190u);
}

TEST(Prompt, RowsAreA1111s) {
  auto pipeline = diffusion::load_pipeline(kGolden / "pipeline");
  const auto golden = data::read_safetensors(kGolden / "prompts.safetensors");
  for (const auto& [name, expected] : golden.tensors) {
    const bool other = name.ends_with(".other");
    pipeline.text_encoders[0].tokenizer.pad =
        other ? pipeline.text_encoders[0].tokenizer.vocab.at("!")
              : pipeline.text_encoders[0].tokenizer.eos;
    pipeline.cache = diffusion::make_prompt_cache();
    const std::string prompt = golden.metadata.at(name.substr(0, 1));
    const at::Tensor hidden =
        diffusion::encode_prompts(pipeline, {prompt}, {.weighting = true}).hidden;
    ASSERT_EQ(hidden.sizes(), expected.sizes()) << name;
    const double error = (hidden - expected).abs().max().item<double>();
    EXPECT_LT(error, 1e-5 * expected.abs().max().item<double>()) << name;
  }
  EXPECT_EQ(golden.tensors.size(), 6u);
}

TEST(Prompt, MovesWhatFollowsACommaToTheNextChunk) {
  const auto tokenizer = short_tokenizer();  // 6 ids between bos and eos
  const auto id = [&](const char* word) { return tokenizer.vocab.at(std::string(word) + "</w>"); };
  const int64_t r = id("red"), b = id("blue"), comma = id(","), bos = tokenizer.bos,
                e = tokenizer.eos;
  const auto chunks =
      diffusion::chunks_of(tokenizer, {{"red red red , blue", 1.0}, {"red red", 2.0}});
  ASSERT_EQ(chunks.size(), 2u);  // "blue red" follow the comma and move on when the 7th id comes
  EXPECT_EQ(chunks[0].ids, (std::vector<int64_t>{bos, r, r, r, comma, e, e, e}));
  EXPECT_EQ(chunks[1].ids, (std::vector<int64_t>{bos, b, r, r, e, e, e, e}));
  EXPECT_EQ(chunks[1].weights, (std::vector<double>{1, 1, 2, 2, 1, 1, 1, 1}));
  const auto cut = diffusion::chunks_of(tokenizer, {{"red red red red red red blue", 1.0}});
  EXPECT_EQ(cut[1].ids, (std::vector<int64_t>{bos, b, e, e, e, e, e, e}));
  EXPECT_EQ(diffusion::chunks_of(tokenizer, {{}}),
            (std::vector<PromptChunk>{diffusion::empty_chunk(tokenizer)}));
  std::string endless;
  for (int i = 0; i < 400; ++i) endless += "red ";
  EXPECT_NE(refusal([&] {
              diffusion::chunks_of(tokenizer, {{endless, 1.0}});
            }).find("64 chunks"),
            std::string::npos);
}

TEST(Prompt, KnowsWhatItWouldRead) {
  EXPECT_TRUE(diffusion::has_weights("a (b:1.2)"));
  EXPECT_TRUE(diffusion::has_weights("a BREAK b"));
  EXPECT_FALSE(diffusion::has_weights("a (b) 1:2 \\:1.2) c"));
}

TEST(Prompt, WeightsKeepTheMean) {
  const at::Tensor hidden = at::tensor({1., 2., 3., 6.}).view({1, 2, 2});
  // [1, 2] and 3 [3, 6]: mean 30 / 4, scaled by 3 / 7.5
  const at::Tensor expected = at::tensor({0.4, 0.8, 3.6, 7.2}).view({1, 2, 2});
  EXPECT_TRUE(at::allclose(diffusion::apply_weights(hidden, {1, 3}), expected));
  EXPECT_TRUE(at::equal(diffusion::apply_weights(hidden, {1, 1}), hidden));
  EXPECT_THROW(diffusion::apply_weights(hidden, {1, 2, 3}), c10::Error);
}

TEST(Prompt, WithoutWeightsIsThePlainPrompt) {
  const auto pipeline = tests::tiny_pipeline();
  const auto plain = diffusion::encode_prompts(pipeline, {"a red circle"}).hidden;
  const auto weighted =
      diffusion::encode_prompts(pipeline, {"a red circle"}, {.weighting = true}).hidden;
  EXPECT_TRUE(at::equal(plain, weighted));
  const auto other =
      diffusion::encode_prompts(pipeline, {"a (red:1.5) circle"}, {.weighting = true});
  EXPECT_FALSE(at::equal(other.hidden, plain));
  EXPECT_EQ(diffusion::chunk_count(diffusion::weighted_prompt(pipeline, "a BREAK b")), 2);
  // One length for all: the shorter one is filled up with an empty chunk.
  const auto both = diffusion::encode_prompts(pipeline, {"a BREAK b", ""}, {.weighting = true});
  EXPECT_EQ(both.hidden.sizes(), (std::vector<int64_t>{2, 24, 8}));
  EXPECT_TRUE(at::equal(both.hidden[1].slice(0, 0, 12), both.hidden[1].slice(0, 12)));
}

TEST(Prompt, TwoEncodersAreWeightedEachByItself) {
  auto pipeline = tests::tiny_pipeline();
  auto generator = at::detail::createCPUGenerator(5);
  nn::ClipTextConfig config = pipeline.text_encoders[0].network.config;
  config.projection_dim = 6;
  nn::ClipText second = nn::make_clip_text(config, generator);
  second.text_projection = nn::make_text_projection(config, generator);
  data::Tokenizer tokenizer = pipeline.text_encoders[0].tokenizer;
  tokenizer.pad = tokenizer.vocab.at("!");
  pipeline.text_encoders.push_back({.network = second, .tokenizer = tokenizer});
  const std::string prompt = "(red:2) BREAK blue";
  const auto got = diffusion::encode_prompts(pipeline, {prompt}, {.weighting = true});
  const auto pieces = diffusion::parse_weights(prompt);
  const auto chunk = diffusion::chunks_of(pipeline.text_encoders[0].tokenizer, pieces).at(0);
  const auto chunk_2 = diffusion::chunks_of(pipeline.text_encoders[1].tokenizer, pieces).at(0);
  EXPECT_NE(chunk.ids, chunk_2.ids);
  const auto run = [](const nn::ClipText& encoder, const PromptChunk& c) {
    return nn::clip_text_forward(encoder, at::tensor(c.ids, at::kLong).unsqueeze(0));
  };
  const auto first_rows = run(pipeline.text_encoders[0].network, chunk),
             second_rows = run(second, chunk_2);
  EXPECT_TRUE(at::equal(got.hidden.slice(1, 0, 12).slice(2, 0, 8),
                        diffusion::apply_weights(first_rows.penultimate, chunk.weights)));
  EXPECT_TRUE(at::equal(got.hidden.slice(1, 0, 12).slice(2, 8),
                        diffusion::apply_weights(second_rows.penultimate, chunk_2.weights)));
  EXPECT_TRUE(at::equal(got.pooled, second_rows.pooled));  // of the first chunk, not weighted
}

TEST(Prompt, ClipSkipReachesNegativesAsInTheWebUi) {
  auto pipeline = tests::tiny_pipeline();
  const auto whole = diffusion::encode_negatives(pipeline, {"red"}, {.clip_skip = 1}).hidden;
  EXPECT_TRUE(at::equal(whole, diffusion::encode_prompts(pipeline, {"red"}).hidden));
  const auto skipped =
      diffusion::encode_negatives(pipeline, {"red"}, {.clip_skip = 1, .weighting = true}).hidden;
  EXPECT_TRUE(
      at::equal(skipped, diffusion::encode_prompts(pipeline, {"red"}, {.clip_skip = 1}).hidden));
}

TEST(Prompt, ImagesOfLongPromptsAreMade) {
  const auto pipeline = tests::tiny_pipeline();
  diffusion::GenerateOptions options;
  options.sampler.steps = 2;
  options.micro_batch = 2;
  options.prompt_weighting = true;
  const auto image_of = [&](const std::vector<diffusion::ImageRequest>& requests) {
    at::Tensor image;
    diffusion::generate(pipeline, requests, options,
                        [&](const diffusion::GeneratedBatch& batch) { image = batch.images[0]; });
    return image;
  };
  diffusion::ImageRequest request;
  request.prompt = "a red circle BREAK (a blue square:1.4)";
  request.negative_prompt = "a red square";
  const at::Tensor image = image_of({request});
  EXPECT_EQ(image.sizes(), (std::vector<int64_t>{3, 16, 16}));
  auto plainer = request;
  plainer.prompt = "a red circle BREAK a blue square";
  EXPECT_FALSE(at::equal(image, image_of({plainer})));
}

}  // namespace
