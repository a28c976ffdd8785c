// The published scorers with random weights, as users' files lay them out.

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "data/nn/clip_text.hpp"
#include "data/text/clip_tokenizer_files.hpp"
#include "data/text/wordpiece.hpp"
#include "data/weights/safetensors.hpp"
#include "nlohmann/json.hpp"
#include "rewards/clip/files.hpp"
#include "rewards/clip/layouts.hpp"
#include "rewards/clip/open.hpp"
#include "rewards/registry/registry.hpp"
#include "rewards/scorers/image_reward.hpp"
#include "rewards/scorers/mps.hpp"
#include "tests/support/golden.hpp"
#include "tests/support/gradient_check.hpp"
#include "tests/support/paths.hpp"
#include "tests/support/refusal.hpp"

namespace {

namespace fs = std::filesystem;

fs::path scorers() { return golden::folder() / "scorers"; }
const at::Tensor& expected(const std::string& name) {
  static const data::Weights all = data::read_safetensors(scorers() / "expected.safetensors");
  return all.tensors.at(name);
}
double difference(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>();
}

TEST(WordPiece, IdsAreTransformers) {
  const auto tokenizer = data::load_wordpiece(scorers() / "vocab.txt");
  for (const auto& entry : data::read_json(scorers() / "wordpiece.json"))
    EXPECT_EQ(data::wordpiece_ids(tokenizer, entry["text"].get<std::string>()),
              entry["ids"].get<std::vector<int64_t>>())
        << entry["text"];
  const auto padded = data::encode_padded(tokenizer, {"a cat", "a a a a"}, 5);
  EXPECT_TRUE(padded.ids.equal(at::tensor({2, 5, 8, 3, 0, 2, 5, 5, 5, 3}, at::kLong).view({2, 5})));
  EXPECT_TRUE(padded.mask[0].equal(at::tensor({1, 1, 1, 1, 0}, at::kLong)));
  EXPECT_EQ(padded.truncated, (std::vector<bool>{false, true}));
  const fs::path wrong = fs::path(testing::TempDir()) / "laurel_vocab.txt";
  data::write_file(wrong, "a\nb\n");
  EXPECT_NE(refusal([&] { data::load_wordpiece(wrong); }).find("[PAD]"), std::string::npos);
}

TEST(ImageReward, IsTransformersBlip) {
  const auto blip =
      rewards::take_blip(data::read_safetensors(scorers() / "imagereward.safetensors"));
  EXPECT_EQ(blip.transform.size, 16);
  const at::Tensor seen = rewards::blip_vision_forward(blip, expected("blip.pixels"));
  golden::expect_agreement("imagereward vision", difference(seen, expected("blip.seen")), 2e-5);
  const at::Tensor score =
      rewards::blip_score(blip, expected("blip.ids"), expected("blip.mask"), seen);
  golden::expect_agreement("imagereward score", difference(score, expected("blip.score")), 2e-4);
}

TEST(ImageReward, IsARewardOfImagesAndPrompts) {
  rewards::RewardSources sources;
  sources.definitions = {"ir=imagereward:" + (scorers() / "imagereward.safetensors").string()};
  const auto reward = rewards::make_reward("ir", sources);
  auto generator = at::detail::createCPUGenerator(1);
  const at::Tensor images = at::rand({2, 3, 20, 24}, generator, at::kFloat).requires_grad_(true);
  const at::Tensor both = reward.score({images, {"a photo of cats", "a cat"}});
  both.sum().backward();
  EXPECT_GT(images.grad().abs().max().item<double>(), 0);
  const at::Tensor one = reward.score({images.detach().slice(0, 1, 2), {"a cat"}});
  EXPECT_NEAR(one.item<double>(), both[1].item<double>(), 1e-5);  // alone or in a batch
  sources.definitions = {"ir=imagereward:" + (scorers() / "mps.safetensors").string()};
  EXPECT_NE(refusal([&] { rewards::make_reward("ir", sources); }).find("visual_encoder.cls_token"),
            std::string::npos);
}

rewards::Mps tiny_mps() {
  const auto weights = data::read_safetensors(scorers() / "mps.safetensors");
  const auto named = rewards::rename_clip(weights);
  rewards::Mps mps;
  mps.clip =
      rewards::take_clip(named.weights, rewards::infer_clip_config(named, nn::Activation::kGelu));
  mps.layers = rewards::take_mps_layers(weights, 16);
  return mps;
}

TEST(Mps, IsTheTranscription) {
  const rewards::Mps mps = tiny_mps();
  const at::Tensor score = rewards::mps_forward(mps, expected("mps.pixels"), expected("mps.ids"),
                                                expected("mps.condition"));
  golden::expect_agreement("mps score", difference(score, expected("mps.score")), 2e-4);
  // An image's score does not depend on its neighbours.
  const at::Tensor alone =
      rewards::mps_forward(mps, expected("mps.pixels").slice(0, 2, 3),
                           expected("mps.ids").slice(0, 2, 3), expected("mps.condition"));
  EXPECT_NEAR(alone.item<double>(), score[2].item<double>(), 1e-5);
  EXPECT_NE(refusal([] { rewards::take_mps_layers({}, 16); }).find("cross_model.layers"),
            std::string::npos);
}

// Of fewer symbols than its vocabulary, the ids of prompts would stand outside the embeddings.
TEST(Mps, RefusesATokenizerOfMoreSymbolsThanItEmbeds) {
  rewards::RewardSources sources;
  sources.definitions = {"x=mps:" + (scorers() / "mps.safetensors").string() +
                         ";tokenizer=" + (scorers() / "../tokenizer").string()};
  EXPECT_NE(refusal([&] { rewards::make_reward("x", sources); }).find("the tokenizer knows"),
            std::string::npos);
}

TEST(ImageReward, RefusesAVocabularyOfMoreSymbolsThanItEmbeds) {
  const fs::path longer = fs::path(testing::TempDir()) / "laurel_longer_vocabulary.txt";
  data::write_file(longer, data::read_file(scorers() / "vocab.txt") + "another\n");
  rewards::RewardSources sources;
  sources.definitions = {"x=imagereward:" + (scorers() / "imagereward.safetensors").string() +
                         ";tokenizer=" + longer.string()};
  EXPECT_NE(refusal([&] { rewards::make_reward("x", sources); }).find("the tokenizer knows"),
            std::string::npos);
}

// A CLIP of 64-wide towers under the tokenizer of the tiny world, in the file forms of the
// published scorers.
class Family : public testing::Test {
 protected:
  static fs::path folder() {
    return fs::path(testing::TempDir()) / ("laurel_family_" + std::to_string(getpid()));
  }
  static void SetUpTestSuite() {
    auto generator = at::detail::createCPUGenerator(3);
    const nn::EncoderConfig encoder{.hidden_size = 64,
                                    .intermediate_size = 64,
                                    .num_hidden_layers = 1,
                                    .num_attention_heads = 1,
                                    .hidden_act = nn::Activation::kGelu};
    rewards::ClipConfig config;
    config.text.encoder = config.vision.encoder = encoder;
    config.text.vocab_size = 530;
    config.text.eos_token_id = 529;
    config.text.max_position_embeddings = 12;
    config.vision.image_size = 16;
    config.vision.patch_size = 8;
    config.projection_dim = 16;
    fs::create_directories(folder());
    data::Tokenizer tokenizer = data::train_bpe({"a red circle and a blue square"}, 530, 12);
    config.text.vocab_size = static_cast<int64_t>(tokenizer.vocab.size());
    config.text.eos_token_id = tokenizer.eos;
    data::save_tokenizer(folder(), tokenizer);
    rewards::save_clip(folder(), rewards::make_clip(config, generator), at::kFloat);
  }
  static void TearDownTestSuite() { fs::remove_all(folder()); }

  static rewards::Reward make(const std::string& definition) {
    rewards::RewardSources sources;
    sources.definitions = {definition};
    return rewards::make_reward(definition.substr(0, definition.find('=')), sources);
  }
  static double score(const std::string& definition, const at::Tensor& image) {
    return make(definition).score({image, {"a red circle"}}).item<double>();
  }
  static std::string place() { return folder().string(); }
};

TEST_F(Family, UnitsAreThoseOfThePackages) {
  const at::Tensor image = at::rand({1, 3, 16, 16}).mul(255).round().div(255);
  const double cosine = score("x=pickscore:" + place() + ";scale=cosine", image);
  EXPECT_NEAR(score("x=clip:" + place(), image), 100 * cosine, 1e-4);
  const double logit = cosine * std::exp(2.6592);
  EXPECT_NEAR(score("x=pickscore:" + place(), image), logit, 1e-4);
  EXPECT_NEAR(score("x=pickscore:" + place() + ";scale=logit/26", image), logit / 26, 1e-5);
  EXPECT_NEAR(score("x=hpsv2:" + place(), image), cosine, 1e-5);
  EXPECT_EQ(make("hpsv2.1=hpsv2:" + place()).info.name, "hpsv2.1");
  EXPECT_NE(refusal([&] { make("x=hpsv2:" + place() + ";scale=percent"); }).find("logit/26"),
            std::string::npos);
}

TEST_F(Family, EachPreprocessesItsOwnWay) {
  const at::Tensor wide = at::rand({1, 3, 16, 35}).mul(255).round().div(255);
  const double pick = score("x=pickscore:" + place() + ";scale=cosine", wide);
  EXPECT_GT(std::abs(score("x=hpsv2:" + place(), wide) - pick), 1e-5);
  EXPECT_GT(std::abs(score("x=social:" + place(), wide) - pick), 1e-5);  // 9 against 9.5 -> 10
  EXPECT_GT(std::abs(score("x=hpsv2:" + place() + ";antialias=no", wide) -
                     score("x=hpsv2:" + place(), wide)),
            1e-6);
}

TEST_F(Family, BatchAndGradientAreSound) {
  auto generator = at::detail::createCPUGenerator(4);
  for (const std::string kind : {"clip", "hpsv2", "pickscore", "social"}) {
    const auto reward = make("x=" + kind + ":" + place());
    EXPECT_TRUE(reward.info.differentiable);
    const at::Tensor images = at::rand({3, 3, 18, 21}, generator, at::kFloat);
    const std::vector<std::string> prompts{"a red circle", "a blue square", ""};
    const at::Tensor all = reward.score({images, prompts});
    const at::Tensor turned = reward.score({images.flip(0), {prompts[2], prompts[1], prompts[0]}});
    EXPECT_LE(difference(turned.flip(0), all), 1e-4) << kind;
    EXPECT_NEAR(reward.score({images.slice(0, 1, 2), {prompts[1]}}).item<double>(),
                all[1].item<double>(), 1e-4)
        << kind;
    // A step along the gradient raises the score by its length squared, to first order.
    const at::Tensor x = images.slice(0, 0, 1).clone().requires_grad_(true);
    reward.score({x, {prompts[0]}}).sum().backward();
    const double square = x.grad().square().sum().item<double>();
    const at::Tensor step = x.grad() * (1e-2 / std::sqrt(square));
    const double up = reward.score({x.detach() + step, {prompts[0]}}).item<double>(),
                 down = reward.score({x.detach() - step, {prompts[0]}}).item<double>();
    EXPECT_NEAR((up - down) / (2e-2 * std::sqrt(square)), 1, 0.05) << kind;
  }
}

TEST_F(Family, PaddingWithZeroOrTheEndIsTheSame) {
  const auto clip = rewards::open_clip_model(folder(), {}).clip;
  const int64_t end = clip.text.config.eos_token_id;
  at::Tensor ids = at::tensor(std::vector<int64_t>{5, 6, 7, end, end, end}, at::kLong).view({1, 6});
  const at::Tensor padded_by_end = rewards::text_features(clip, ids);
  ids.slice(1, 4, 6).fill_(0);
  EXPECT_LE(difference(rewards::text_features(clip, ids), padded_by_end), 1e-6);
}

TEST_F(Family, AestheticHeadMustFitTheClip) {
  auto generator = at::detail::createCPUGenerator(6);
  const fs::path file = folder() / "head.safetensors";
  const auto save = [&](int64_t width) {
    auto head = rewards::make_aesthetic(rewards::AestheticForm::kLinear, width, generator);
    data::Weights weights;
    rewards::for_each_tensor(head, "", [&](const std::string& name, at::Tensor& tensor) {
      weights.tensors[name] = tensor;
    });
    data::write_safetensors(file, weights);
  };
  const std::string definition = "laion-v1=aesthetic:" + file.string() + ";clip=" + place();
  save(16);
  EXPECT_EQ(make(definition).info.name, "laion-v1");
  EXPECT_EQ(make(definition).score({at::rand({2, 3, 16, 16}), {}}).size(0), 2);
  save(17);
  EXPECT_NE(refusal([&] { make(definition); })
                .find("expected a head for CLIP embeddings of width "
                      "16, found 17"),
            std::string::npos);
}

TEST_F(Family, AFileAloneTakesTheVocabularyThatIsGiven) {
  const fs::path file = folder() / "alone" / "weights.safetensors";
  fs::create_directories(file.parent_path());
  fs::copy_file(folder() / "model.safetensors", file, fs::copy_options::overwrite_existing);
  const at::Tensor image = at::rand({1, 3, 16, 16}).mul(255).round().div(255);
  EXPECT_NEAR(score("x=hpsv2:" + file.string() + ";tokenizer=" + place(), image),
              score("x=hpsv2:" + place(), image), 1e-5);
  EXPECT_NE(refusal([&] { make("x=hpsv2:" + file.string()); }).find(";tokenizer=FOLDER"),
            std::string::npos);
  EXPECT_NE(refusal([&] {
              make("x=hpsv2:" + file.string() + ";tokenizer=" + std::string(tests::source_dir()) +
                   "/models/clip-tokenizer");
            }).find("the tokenizer knows 49408 symbols"),
            std::string::npos);
}

}  // namespace
