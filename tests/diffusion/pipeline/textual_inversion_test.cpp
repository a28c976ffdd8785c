#include "diffusion/pipeline/textual_inversion.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "data/base/error.hpp"
#include "data/weights/safetensors.hpp"
#include "diffusion/text/prompt_weighting.hpp"
#include "tests/support/paths.hpp"
#include "tests/support/refusal.hpp"
#include "tests/support/tiny/pipeline.hpp"

namespace {

namespace fs = std::filesystem;
using diffusion::Embedding;

const fs::path kGolden = fs::path(tests::source_dir()) / "tests" / "golden" / "embeddings";

fs::path written(const std::string& name, const std::map<std::string, at::Tensor>& tensors) {
  const fs::path path = fs::path(testing::TempDir()) / ("laurel_embedding_" + name);
  data::write_safetensors(path, {.tensors = tensors, .metadata = {}, .source = {}});
  return path;
}

// The rows of words in the encoder's input.
at::Tensor rows_of(const diffusion::Pipeline& pipeline, const std::string& words) {
  const auto ids = data::encode_text(pipeline.text_encoders[0].tokenizer, words);
  return pipeline.text_encoders[0]
      .network.token_embedding.index_select(0, at::tensor(ids, at::kLong))
      .clone();
}

TEST(Embedding, ReadsTheFieldsFiles) {
  const Embedding web_ui = diffusion::read_embedding(kGolden / "web-ui.pt");
  EXPECT_EQ(web_ui.name, "web-ui");
  EXPECT_TRUE(at::equal(web_ui.vectors, at::arange(16, at::kFloat).view({2, 8}) / 16));
  const Embedding diffusers = diffusion::read_embedding(kGolden / "learned_embeds.bin");
  EXPECT_EQ(diffusers.name, "<cat-toy>");
  EXPECT_TRUE(at::equal(diffusers.vectors, at::arange(8, at::kFloat).view({1, 8}) / 8));
  EXPECT_EQ(diffusion::read_embedding(kGolden / "learned_embeds.bin", "toy").name, "toy");
  const at::Tensor two = at::rand({2, 8}), wide = at::rand({2, 16});
  const auto params = diffusion::read_embedding(written("neg.safetensors", {{"emb_params", two}}));
  EXPECT_EQ(params.name, "laurel_embedding_neg");
  EXPECT_TRUE(at::equal(params.vectors, two));
  const auto xl =
      diffusion::read_embedding(written("xl.safetensors", {{"clip_l", two}, {"clip_g", wide}}));
  EXPECT_TRUE(at::equal(xl.vectors, two) && at::equal(xl.vectors_2, wide));
}

// OneTrainer stores them inside a LoRA's file.
TEST(Embedding, ReadsTheWordsOfALorasFile) {
  const at::Tensor one = at::rand({2, 8}), other = at::rand({1, 8});
  const fs::path single =
      written("bundle.safetensors", {{"bundle_emb.sks.string_to_param.*", one},
                                     {"lora_unet_mid_block_x.lora_down.weight", at::rand({2, 2})}});
  EXPECT_TRUE(at::equal(diffusion::read_embedding(single, "word").vectors, one));
  const fs::path several = written("bundles.safetensors", {{"bundle_emb.a.emb_params", one},
                                                           {"bundle_emb.b.emb_params", other}});
  EXPECT_TRUE(at::equal(diffusion::read_embedding(several, "b").vectors, other));
  EXPECT_NE(refusal([&] { diffusion::read_embedding(several, "c"); }).find("words a, b"),
            std::string::npos);
}

TEST(Embedding, RefusesOtherFiles) {
  const at::Tensor x = at::rand({2, 8});
  EXPECT_NE(refusal([&] {
              diffusion::read_embedding(written("other.safetensors", {{"a", x}, {"b", x}}));
            }).find("expected a textual inversion"),
            std::string::npos);
  EXPECT_NE(refusal([&] {
              diffusion::read_embedding(
                  written("uneven.safetensors", {{"clip_l", x}, {"clip_g", at::rand({1, 8})}}));
            }).find("2 and 1 vectors"),
            std::string::npos);
  auto pipeline = tests::tiny_pipeline();
  const Embedding wide{.name = "w", .vectors = at::rand({1, 16}), .vectors_2 = {}, .source = "f"};
  EXPECT_NE(refusal([&] {
              diffusion::add_embedding(pipeline, wide);
            }).find("expected vectors of 8 numbers for this model's text encoder, found 16"),
            std::string::npos);
  const Embedding fits{.name = "w", .vectors = x, .vectors_2 = {}, .source = "f"};
  diffusion::add_embedding(pipeline, fits);
  EXPECT_NE(refusal([&] { diffusion::add_embedding(pipeline, fits); }).find("'w' is taken"),
            std::string::npos);
  pipeline.text_encoders.push_back(pipeline.text_encoders[0]);
  const Embedding half{.name = "v", .vectors = x, .vectors_2 = {}, .source = "f"};
  EXPECT_NE(refusal([&] { diffusion::add_embedding(pipeline, half); }).find("found none"),
            std::string::npos);
}

// A word that holds the vectors of known ones reads as they do.
TEST(Embedding, StandsForItsVectors) {
  auto pipeline = tests::tiny_pipeline();
  const at::Tensor expected =
      diffusion::encode_prompts(pipeline, {"a red circle on blue", "redo"}).hidden;
  diffusion::encode_prompts(pipeline, {"a My-Style on blue"});  // kept, and then forgotten
  diffusion::add_embedding(pipeline, {.name = "my-style",
                                      .vectors = rows_of(pipeline, "red circle"),
                                      .vectors_2 = {},
                                      .source = "f"});
  diffusion::add_embedding(
      pipeline,
      {.name = "re", .vectors = rows_of(pipeline, "blue"), .vectors_2 = {}, .source = "f"});
  const at::Tensor got = diffusion::encode_prompts(pipeline, {"a My-Style on blue", "redo"}).hidden;
  EXPECT_TRUE(at::equal(got, expected));  // "re" is not read inside "red" and "redo"
  EXPECT_FALSE(
      at::equal(diffusion::encode_prompts(pipeline, {"re do"}).hidden, expected.narrow(0, 1, 1)));
  const auto chunks = diffusion::chunks_of(pipeline.text_encoders[0].tokenizer,
                                           diffusion::parse_weights("(my-style:1.5), red"));
  const auto count = data::encode_text(pipeline.text_encoders[0].tokenizer, "red circle").size();
  EXPECT_EQ(chunks[0].weights[1], 1.5);
  EXPECT_EQ(chunks[0].weights[count], 1.5);
  EXPECT_EQ(chunks[0].weights[count + 1], 1.0);
}

}  // namespace
