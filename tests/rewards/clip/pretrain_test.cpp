#include "rewards/clip/pretrain.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/world/caption.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/gradient_check.hpp"

namespace {

namespace fs = std::filesystem;
using rewards::ContrastiveBatch;

at::Tensor unit(const at::Tensor& x) { return x / x.norm(2, {-1}, true); }

TEST(ClipLoss, ByHand) {
  // Images e1, e2; texts e1, e1: logits [[2, 2], [0, 0]] at scale 2.
  const at::Tensor image = at::eye(2), text = at::tensor({1.0f, 0.0f, 1.0f, 0.0f}).view({2, 2});
  const at::Tensor scale = at::full({}, std::log(2.0), at::kFloat);
  const double rows = std::log(2.0);  // both rows are even
  const double columns = (-(2 - std::log(std::exp(2.0) + 1)) + std::log(std::exp(2.0) + 1)) / 2;
  EXPECT_NEAR(rewards::clip_loss(image, text, scale, {}).item<double>(), (rows + columns) / 2,
              1e-6);
  // Without the pair (image 0, text 1): row 0 is certain, and so is column 1.
  const at::Tensor also_true = at::tensor({0, 1, 0, 0}).view({2, 2}).to(at::kBool);
  const double masked = (std::log(2.0) / 2 + -(2 - std::log(std::exp(2.0) + 1)) / 2) / 2;
  EXPECT_NEAR(rewards::clip_loss(image, text, scale, also_true).item<double>(), masked, 1e-6);
  EXPECT_THROW(rewards::clip_loss(image, at::eye(3), scale, {}), c10::Error);
}

TEST(ClipLoss, GradientIsThatOfDifferences) {
  auto generator = at::detail::createCPUGenerator(5);
  const at::Tensor image = at::randn({4, 3}, generator, at::kDouble),
                   text = at::randn({4, 3}, generator, at::kDouble);
  const at::Tensor scale = at::full({}, 1.3, at::kDouble);
  at::Tensor also_true = at::zeros({4, 4}, at::kBool);
  also_true[1][3] = true;
  const auto of_image = [&](const at::Tensor& x) {
    return rewards::clip_loss(unit(x), unit(text), scale, also_true);
  };
  const auto of_scale = [&](const at::Tensor& s) {
    return rewards::clip_loss(unit(image), unit(text), s, also_true);
  };
  EXPECT_LE(gradient_error(of_image, image), 1e-6);
  EXPECT_LE(gradient_error(of_scale, scale), 1e-6);
}

TEST(DrawScenes, MarksCaptionsThatAreTrueOfOtherImages) {
  auto generator = at::detail::createCPUGenerator(2);
  const ContrastiveBatch batch = rewards::draw_scenes(48, 0.5, world::Split::kSeen, generator);
  EXPECT_EQ(batch.images.sizes(), (at::IntArrayRef{48, 3, 64, 64}));
  EXPECT_FALSE(batch.also_true.diagonal().any().item<bool>());
  for (int64_t i = 0; i < 48; ++i) {
    for (int64_t j = 0; j < 48; ++j) {
      const bool same = i != j && batch.captions[static_cast<size_t>(i)] ==
                                      batch.captions[static_cast<size_t>(j)];
      if (same) {
        EXPECT_TRUE(batch.also_true[i][j].item<bool>()) << batch.captions[static_cast<size_t>(i)];
      }
    }
  }
  EXPECT_THROW(rewards::draw_scenes(0, 0.5, world::Split::kSeen, generator), c10::Error);
}

TEST(DrawScenes, VariantsStayInTheSplit) {
  auto generator = at::detail::createCPUGenerator(4);
  for (const auto split : {world::Split::kSeen, world::Split::kUnseen}) {
    for (const auto& caption : rewards::draw_scenes(40, 0.75, split, generator).captions) {
      bool unseen = false;
      const auto claims = world::parse_caption(caption);
      for (const auto& a : claims) {
        for (const auto& b : claims) {
          if (a.kind != world::ClaimKind::kColour || b.kind != world::ClaimKind::kKind ||
              a.object != b.object)
            continue;
          unseen = unseen || world::held_out(static_cast<world::Colour>(a.value),
                                             static_cast<world::Kind>(b.value));
        }
      }
      EXPECT_EQ(unseen, split == world::Split::kUnseen) << caption;
    }
  }
}

TEST(RetrievalGroups, EachCaptionIsTrueOfItsOwnImageAlone) {
  auto generator = at::detail::createCPUGenerator(6);
  const auto groups = rewards::retrieval_groups(2, 16, world::Split::kUnseen, generator);
  ASSERT_EQ(groups.size(), 2u);
  for (const auto& group : groups) {
    EXPECT_EQ(group.images.size(0), 16);
    EXPECT_FALSE(group.also_true.any().item<bool>());
  }
}

TEST(CaptionedSource, DrawsDistinctPairsAndSparesEqualCaptions) {
  const rewards::CaptionedSet set{
      {"a cat", "a dog", "a cat", "a cow", "a hen"}, [](const at::Tensor& rows) {
        return rows.to(at::kFloat).view({-1, 1, 1, 1}).expand({-1, 3, 2, 2});
      }};
  const auto source = rewards::captioned_source("animals", set, at::arange(4));
  EXPECT_EQ(source.texts.size(), 4u);  // "a hen" is held out
  auto generator = at::detail::createCPUGenerator(1);
  const auto batch = source.draw(4, generator);
  for (int64_t i = 0; i < 4; ++i) {
    const auto row = static_cast<size_t>(batch.images[i][0][0][0].item<float>());
    EXPECT_EQ(batch.captions[static_cast<size_t>(i)], set.captions[row]);
  }
  EXPECT_EQ(batch.also_true.sum().item<int64_t>(), 2);  // the two cats, both ways
  const auto groups = rewards::groups_of(set, at::arange(5), 3);
  ASSERT_EQ(groups.size(), 2u);
  EXPECT_EQ(groups[0].captions, (std::vector<std::string>{"a cat", "a dog", "a cow"}));
  EXPECT_EQ(groups[1].captions, (std::vector<std::string>{"a hen"}));
}

// A run of a few small updates on random images.
struct Tiny {
  data::Tokenizer tokenizer =
      data::train_bpe({"red red", "blue blue", "green green", "black black"}, 600, 6);
  rewards::ClipSource source;
  rewards::TrainClipOptions options;
  std::vector<rewards::EvaluationSet> exams;

  Tiny(const std::string& name, const std::string& optimizer) {
    source.draw = [](int64_t count, at::Generator& generator) {
      const std::vector<std::string> words{"red", "blue", "green", "black"};
      ContrastiveBatch batch{at::rand({count, 3, 8, 8}, generator, at::kFloat),
                             {},
                             at::zeros({count, count}, at::kBool)};
      for (int64_t i = 0; i < count; ++i) {
        batch.captions.push_back(words[static_cast<size_t>(i) % 4]);
        batch.images[i] *= 0.1;
        if (i % 4 < 3) batch.images[i][(2 * (i % 4)) % 3] += 0.8;  // red, blue, green; black: none
      }
      return batch;
    };
    auto generator = at::detail::createCPUGenerator(9);
    exams.push_back({"seen", {source.draw(4, generator)}});
    const nn::EncoderConfig tower{
        .hidden_size = 8, .intermediate_size = 8, .num_hidden_layers = 1, .num_attention_heads = 2};
    options.model.text.encoder = options.model.vision.encoder = tower;
    options.model.text.vocab_size = static_cast<int64_t>(tokenizer.vocab.size());
    options.model.text.max_position_embeddings = 6;
    options.model.text.eos_token_id = tokenizer.eos;
    options.model.vision.image_size = 8;
    options.model.vision.patch_size = 4;
    options.model.projection_dim = 8;
    options.loop.train_batch_size = 4;
    options.loop.max_train_steps = 6;
    options.loop.lr_warmup_steps = 2;
    options.loop.logging_steps = options.loop.validation_steps = options.loop.checkpointing_steps =
        3;
    options.optimizer = optimizer;
    options.loop.learning_rate = 1e-2;
    options.loop.output_dir = tests::fresh_folder(optimizer + name);
  }
  rewards::TrainClipResult run() {
    return rewards::train_clip(options, tokenizer, source, exams, [](const std::string&) {});
  }
};

class TrainClip : public testing::TestWithParam<const char*> {};

TEST_P(TrainClip, ResumesBitForBit) {
  Tiny whole("whole", GetParam());
  const auto expected = whole.run();
  Tiny broken("broken", GetParam());
  const auto draw = broken.source.draw;
  int64_t draws = 0;
  broken.source.draw = [&](int64_t count, at::Generator& generator) {
    if (++draws == 5)
      throw std::runtime_error("power cut");  // after the state of update 3 was written
    return draw(count, generator);
  };
  EXPECT_THROW(broken.run(), std::runtime_error);
  EXPECT_THROW(broken.run(), data::BadInput);  // does not write over a run that can go on
  broken.options.loop.resume_from_checkpoint = "latest";
  broken.options.loop.learning_rate = 2e-2;
  EXPECT_THROW(broken.run(), data::BadInput);  // another run's settings
  broken.options.loop.learning_rate = 1e-2;
  draws = 100;
  const auto found = broken.run();
  EXPECT_EQ(found.steps, 6);
  EXPECT_EQ(data::read_file(broken.options.loop.output_dir / "clip" / "model.safetensors"),
            data::read_file(whole.options.loop.output_dir / "clip" / "model.safetensors"));
  EXPECT_EQ(found.retrieval[0].image_to_text, expected.retrieval[0].image_to_text);
}

INSTANTIATE_TEST_SUITE_P(Optimizers, TrainClip, testing::Values("adamw", "muon"));

TEST(TrainClipRun, LearnsToTellColoursApart) {
  Tiny tiny("learns", "muon");
  tiny.options.loop.max_train_steps = 200;
  tiny.options.loop.learning_rate = 5e-3;
  tiny.options.loop.validation_steps = tiny.options.loop.checkpointing_steps = 1000;
  tiny.options.loop.ema_decay = 0.5;
  const auto result = tiny.run();
  EXPECT_EQ(result.retrieval[0].image_to_text, 1.0);
  EXPECT_EQ(result.retrieval[0].text_to_image, 1.0);
  EXPECT_LE(result.clip.logit_scale.item<double>(), std::log(100.0) + 1e-6);
  EXPECT_TRUE(fs::exists(tiny.options.loop.output_dir / "text_encoder" / "model.safetensors"));
}

}  // namespace
