#include "rewards/registry/registry.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "data/base/error.hpp"
#include "data/images/image_io.hpp"
#include "data/weights/safetensors.hpp"
#include "data/world/caption.hpp"
#include "data/world/scene.hpp"
#include "rewards/clip/embedder.hpp"
#include "rewards/combine/combine.hpp"
#include "rewards/loader/members.hpp"
#include "rewards/scorers/aesthetic.hpp"
#include "rewards/scorers/clip_score.hpp"
#include "rewards/scorers/image_stats.hpp"
#include "rewards/scorers/jpeg_size.hpp"
#include "rewards/world/oracle_reward.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/gradient_check.hpp"
#include "tests/support/paths.hpp"
#include "tests/support/refusal.hpp"

namespace {

rewards::Clip tiny_clip() {
  auto generator = at::detail::createCPUGenerator(11);
  const nn::EncoderConfig encoder{
      .hidden_size = 16, .intermediate_size = 32, .num_hidden_layers = 1, .num_attention_heads = 2};
  rewards::ClipConfig config;
  config.text.encoder = encoder;
  config.text.max_position_embeddings = 12;
  config.vision.encoder = encoder;
  config.vision.image_size = 16;
  config.vision.patch_size = 8;
  config.projection_dim = 6;
  config.text.vocab_size = 600;
  return rewards::make_clip(config, generator);
}

data::Tokenizer tiny_tokenizer() {
  return data::train_bpe({"a red circle", "a blue square"}, 520, 12);
}

std::shared_ptr<rewards::ClipEmbedder> tiny_embedder() {
  return std::make_shared<rewards::ClipEmbedder>(tiny_clip(), tiny_tokenizer(), at::kCPU);
}

std::string message_of(const std::string& name, const rewards::RewardSources& sources) {
  try {
    rewards::make_reward(name, sources);
  } catch (const data::BadInput& error) {
    return error.what();
  }
  return "";
}

TEST(JpegSize, IsTheLengthOfTheFile) {
  auto generator = at::detail::createCPUGenerator(1);
  const auto images = at::cat({at::full({1, 3, 32, 32}, 0.5), at::rand({1, 3, 32, 32}, generator)});
  const auto kilobytes = rewards::jpeg_kilobytes(images, 95);
  EXPECT_FLOAT_EQ(kilobytes[1].item<float>(),
                  static_cast<float>(data::encode_jpeg(images[1], 95).size()) / 1000);
  EXPECT_GT(kilobytes[1].item<float>(), 2 * kilobytes[0].item<float>());
  EXPECT_TRUE((rewards::jpeg_kilobytes(images, 20) < kilobytes).all().item<bool>());
  EXPECT_TRUE(at::equal(rewards::jpeg_compressibility_reward(95).score({images, {}}), -kilobytes));
  EXPECT_TRUE(at::equal(rewards::jpeg_incompressibility_reward(95).score({images, {}}), kilobytes));
  EXPECT_THROW(rewards::jpeg_kilobytes(images, 0), c10::Error);
  EXPECT_THROW(rewards::jpeg_kilobytes(images[0], 95), c10::Error);
}

TEST(OracleReward, ReadsDrawnScenes) {
  auto generator = at::detail::createCPUGenerator(2);
  const auto batch = world::random_batch(8, world::Split::kSeen, generator);
  const auto right = rewards::oracle_reward().score({batch.images, batch.captions});
  EXPECT_TRUE(at::equal(right, at::ones({8})));
  auto shifted = batch.captions;
  std::rotate(shifted.begin(), shifted.begin() + 1, shifted.end());
  EXPECT_LT(rewards::oracle_reward().score({batch.images, shifted}).mean().item<double>(), 0.9);
  EXPECT_THROW(rewards::oracle_reward().score({batch.images, {"a cat"}}), c10::Error);
  EXPECT_THROW(rewards::oracle_reward().score({batch.images.slice(0, 0, 1), {"a cat on a mat"}}),
               data::BadInput);
}

TEST(ClipScore, IsAHundredTimesTheCosine) {
  const auto a = at::tensor({0.6f, 0.8f}).view({1, 2}), b = at::tensor({1.0f, 0.0f}).view({1, 2});
  EXPECT_NEAR(rewards::clip_score(a, b).item<double>(), 60, 1e-4);
  EXPECT_NEAR(rewards::clip_score(a, -a).item<double>(), -100, 1e-4);
}

TEST(ClipScore, ComparesEachImageWithItsPromptWhateverTheOrder) {
  const auto reward = rewards::clip_score_reward(tiny_embedder());
  const auto images = at::rand({3, 3, 16, 16});
  const std::vector<std::string> prompts{"a red circle", "a blue square", "a red circle"};
  const at::NoGradGuard no_grad;
  const auto scores = reward.score({images, prompts});
  const auto again = reward.score({images.flip({0}), {prompts.rbegin(), prompts.rend()}});
  EXPECT_TRUE(at::allclose(again.flip({0}), scores, 1e-5, 1e-4));
  const auto clip = tiny_clip();
  const auto ids = data::encode(tiny_tokenizer(), prompts).ids;
  const auto expected =
      100 * (rewards::image_features(clip, images) * rewards::text_features(clip, ids)).sum(1);
  EXPECT_TRUE(at::allclose(scores, expected, 1e-5, 1e-4));
  EXPECT_THROW(reward.score({images, {"a"}}), c10::Error);
}

TEST(ClipEmbedder, RemembersABatchUntilItChanges) {
  const auto clip = tiny_embedder();
  const at::NoGradGuard no_grad;
  auto images = at::rand({2, 3, 16, 16});
  const auto first = clip->images(images);
  EXPECT_TRUE(clip->images(images).is_same(first));
  images.mul_(0.5);
  EXPECT_FALSE(at::equal(clip->images(images), first));
  EXPECT_FALSE(at::equal(clip->images(images.slice(0, 0, 1)), first.slice(0, 0, 1)));
}

TEST(ClipRewards, PassTheGradientToTheImages) {
  const auto reward = rewards::clip_score_reward(tiny_embedder());
  auto images = at::rand({2, 3, 16, 16}).requires_grad_(true);
  reward.score({images, {"a red circle", "a blue square"}}).sum().backward();
  EXPECT_TRUE(at::isfinite(images.grad()).all().item<bool>());
  EXPECT_GT(images.grad().abs().max().item<double>(), 0);
  // Along the gradient the score rises as fast as its norm says.
  const at::NoGradGuard no_grad;
  const auto step = images.grad() / images.grad().norm();
  const auto score = [&](const at::Tensor& x) {
    return reward.score({x, {"a red circle", "a blue square"}}).sum().item<double>();
  };
  const double slope = (score(images + 1e-2 * step) - score(images - 1e-2 * step)) / 2e-2;
  EXPECT_NEAR(slope / images.grad().norm().item<double>(), 1, 0.02);
}

TEST(AestheticReward, ScoresTheEmbeddingAndRefusesAHeadOfAnotherWidth) {
  auto generator = at::detail::createCPUGenerator(12);
  const auto path = std::filesystem::path(testing::TempDir()) / "laurel_head.safetensors";
  const auto write = [&](int64_t width) {
    data::Weights file;
    auto head = rewards::make_aesthetic(rewards::AestheticForm::kLinearMlp, width, generator);
    for_each_tensor(head, "", [&](const std::string& name, at::Tensor& tensor) {
      file.tensors[name] = tensor;
    });
    data::write_safetensors(path, file);
    return head;
  };
  const auto head = write(6);
  const auto clip = tiny_embedder();
  const at::NoGradGuard no_grad;
  const auto images = at::rand({2, 3, 16, 16});
  const auto reward = rewards::aesthetic_reward(clip, path);
  EXPECT_TRUE(at::allclose(reward.score({images, {}}),
                           rewards::aesthetic_forward(head, clip->images(images))));
  write(7);
  EXPECT_THROW(rewards::aesthetic_reward(clip, path), data::BadInput);
  std::filesystem::remove(path);
}

// Heads with the files that they are read from.
struct HeadFiles {
  const std::filesystem::path folder = tests::fresh_folder("aesthetic_members");
  std::vector<rewards::AestheticHead> heads;

  explicit HeadFiles(const std::vector<int64_t>& widths) {
    auto generator = at::detail::createCPUGenerator(12);
    for (const int64_t width : widths)
      heads.push_back(
          rewards::make_aesthetic(rewards::AestheticForm::kLinearMlp, width, generator));
  }
  // The first `count` heads in one file.
  std::filesystem::path file_of(size_t count) const {
    const auto path = folder / (std::to_string(count) + ".safetensors");
    data::write_safetensors(path, rewards::aesthetic_file({heads.begin(), heads.begin() + count}));
    return path;
  }
};

TEST(AestheticReward, FiveMembersCostOneClipPass) {
  const HeadFiles files({6, 6, 6, 6, 6});
  const auto clip = tiny_embedder();
  const auto images = at::rand({2, 3, 16, 16});
  const auto reward = rewards::aesthetic_reward(clip, files.file_of(5));
  {
    const at::NoGradGuard no_grad;
    for (const auto& member : rewards::member_rewards(reward, 1)) member.reward.score({images, {}});
    const at::Tensor scores = reward.members({images, {}});  // [2, 5]
    EXPECT_TRUE(at::equal(reward.score({images, {}}), scores.mean(1)));
    reward.disagreement({images, {}});
    EXPECT_EQ(clip->image_passes(), 1);
    for (int64_t m = 0; m < 5; ++m) {
      const auto& head = files.heads[static_cast<size_t>(m)];
      EXPECT_TRUE(at::allclose(scores.select(1, m),
                               rewards::aesthetic_forward(head, clip->images(images)), 1e-2, 1e-2));
    }
    EXPECT_GT((scores.select(1, 0) - scores.select(1, 1)).abs().max().item<double>(), 1e-3);
  }
  auto followed = images.clone().requires_grad_(true);
  reward.score({followed, {}}).sum().backward();
  EXPECT_EQ(clip->image_passes(), 2);
  EXPECT_GT(followed.grad().abs().max().item<double>(), 0);
}

TEST(AestheticReward, RefusesMembersOfSeveralClipsInOneFile) {
  const HeadFiles files({6, 6, 7});
  const auto said = refusal([&] { rewards::aesthetic_reward(tiny_embedder(), files.file_of(3)); });
  EXPECT_NE(said.find("expected members for one CLIP, of width 6, found member 3 for width 7"),
            std::string::npos)
      << said;
}

TEST(AestheticReward, OfAFolderReadsTheClipOfEachMember) {
  const HeadFiles files({128, 128});
  const auto embedded = std::filesystem::path(tests::source_dir()) / "models/tiny-world/clip";
  rewards::write_member_list(files.folder,
                             {{files.file_of(1), embedded}, {files.file_of(2), embedded}});
  rewards::RewardSources sources;
  sources.definitions = {"both=aesthetic:" + files.folder.string()};
  sources.clip = "nowhere";  // not read
  const auto rewards = rewards::make_rewards("both.members=3,brightness", sources);
  ASSERT_EQ(rewards.size(), 3U);
  EXPECT_EQ(rewards[1].reward.info.name, "both.2");
  EXPECT_EQ(rewards[1].weight, 1.5);
  const at::NoGradGuard no_grad;
  const rewards::RewardBatch batch{at::rand({1, 3, 64, 64}), {""}};
  EXPECT_EQ(rewards::score_all(rewards, batch).sizes(), at::IntArrayRef({1, 3}));
  const auto origin = rewards::origin_of("both.members", sources);
  EXPECT_EQ(std::count(origin.weights.begin(), origin.weights.end(),
                       std::filesystem::weakly_canonical(embedded)),
            2);
  EXPECT_NE(refusal([&] {
              rewards::make_rewards("brightness.members", sources);
            }).find("brightness has no members"),
            std::string::npos);
}

TEST(Registry, NamesAreDistinctAndDescribed) {
  std::set<std::string> names;
  for (const auto* entry : rewards::reward_entries()) {
    const auto& info = entry->info;
    EXPECT_TRUE(names.insert(info.name).second) << info.name;
    EXPECT_FALSE(info.description.empty()) << info.name;
    EXPECT_LT(info.low, info.high) << info.name;
  }
}

TEST(Registry, EveryWeightsOptionIsEmbeddedAndSaysWhatIsMissing) {
  for (const auto* entry : rewards::reward_entries()) {
    if (!entry->weights) continue;
    const std::string flag = entry->weights->flag;
    EXPECT_TRUE(std::filesystem::exists(std::filesystem::path(tests::source_dir()) / "models" /
                                        entry->weights->embedded))
        << flag;
    EXPECT_NE(message_of(entry->info.name, {}).find("--" + flag), std::string::npos) << flag;
  }
}

TEST(Registry, SchemesOfFamiliesAreDistinct) {
  std::set<std::string> schemes;
  for (const auto* family : rewards::reward_families()) {
    auto own = family->schemes;
    if (own.empty()) own.push_back("");  // of a text without a colon
    for (const auto& scheme : own) EXPECT_TRUE(schemes.insert(scheme).second) << scheme;
  }
}

TEST(Registry, MakesWhatItNames) {
  EXPECT_EQ(rewards::make_reward("brightness", {}).info.name, "brightness");
  const auto rewards = rewards::make_rewards("brightness=2,jpeg_compressibility", {});
  ASSERT_EQ(rewards.size(), 2u);
  EXPECT_EQ(rewards[0].weight, 2);
  EXPECT_EQ(rewards[1].reward.info.name, "jpeg_compressibility");
}

TEST(Registry, MakesBothSetsOfARunWithTheRewardsThatTheCallerGives) {
  rewards::RewardSources sources;
  sources.given["mine"] = rewards::brightness_reward();
  const auto sets =
      rewards::make_reward_sets({{"mine", 2}, {"brightness", 1}}, {{"colourfulness", 1}}, sources);
  ASSERT_EQ(sets.trained.size(), 2u);
  EXPECT_EQ(sets.trained[0].weight, 2);
  EXPECT_EQ(sets.trained[1].weight, 1);
  ASSERT_EQ(sets.evaluated.size(), 1u);
  EXPECT_EQ(sets.evaluated[0].reward.info.name, "colourfulness");
  EXPECT_TRUE(rewards::make_reward_sets({}, {}, {}).trained.empty());
  EXPECT_NE(refusal([] {
              rewards::make_reward_sets({{"brightness", 1}}, {{"brightness", 1}}, {});
            }).find("'brightness': is given twice"),
            std::string::npos);
}

TEST(Registry, SaysWhatIsMissing) {
  EXPECT_NE(message_of("asthetic", {}).find("did you mean aesthetic?"), std::string::npos);
  EXPECT_NE(message_of("clip_score", {}).find("--clip"), std::string::npos);
  EXPECT_NE(message_of("aesthetic", {}).find("train-reward"), std::string::npos);
  EXPECT_NE(message_of("clip_score", {.clip = "/nowhere"}).find("/nowhere"), std::string::npos);
}

rewards::RewardSources named_sources() {
  return {.clip = "c",
          .weights = {{"aesthetic", "a.safetensors"}, {"social", "s"}},
          .definitions = {"mix=clip + 0.1*social", "pick=pickscore:/p/file.bin",
                          "laion=aesthetic:head.pth;clip=/p/../p/file.bin",
                          "far=http://127.0.0.1:1/score", "bright=2*brightness", "loop=loop + 1"}};
}

TEST(Origins, NameTheFilesThatARewardReads) {
  const auto sources = named_sources();
  using Paths = std::vector<std::filesystem::path>;
  EXPECT_EQ(rewards::origin_of("aesthetic", sources).weights, (Paths{"c", "a.safetensors"}));
  EXPECT_EQ(rewards::origin_of("social", sources).weights, Paths{"s"});
  EXPECT_EQ(rewards::origin_of("mix", sources).weights, (Paths{"c", "s"}));
  EXPECT_EQ(rewards::origin_of("bright", sources).weights, Paths{});
  EXPECT_TRUE(rewards::origin_of("bright", sources).is_known);
  EXPECT_FALSE(rewards::origin_of("far", sources).is_known);
  EXPECT_TRUE(rewards::origin_of("oracle_layout", sources).is_gold);
  EXPECT_FALSE(rewards::origin_of("clip_score", sources).is_gold);
}

TEST(Origins, AreSharedWhereAFileIs) {
  const auto sources = named_sources();
  const auto share = [&](const std::string& a, const std::string& b) {
    return rewards::share_weights(rewards::origin_of(a, sources), rewards::origin_of(b, sources));
  };
  EXPECT_TRUE(share("aesthetic", "clip_score"));
  EXPECT_TRUE(share("mix", "social"));
  EXPECT_TRUE(share("pick", "laion"));  // the same file by another path
  EXPECT_FALSE(share("aesthetic", "social"));
  EXPECT_FALSE(share("far", "far"));  // unknown
}

TEST(Origins, OfWhatIsNoRewardAreRefused) {
  EXPECT_NE(refusal([] { rewards::origin_of("aestetic", named_sources()); }).find("did you mean"),
            std::string::npos);
  EXPECT_NE(refusal([] { rewards::origin_of("loop", named_sources()); }).find("back to itself"),
            std::string::npos);
}

// The embedded student of a judge has four members.
TEST(JudgeStudentReward, SaysHowFarItsMembersDisagree) {
  const std::filesystem::path models = std::filesystem::path(tests::source_dir()) / "models";
  const rewards::RewardSources sources{.clip = models / "tiny-world" / "clip",
                                       .weights = {{"lvlm", models / "rewards" / "lvlm"}}};
  const auto reward = rewards::make_reward("lvlm", sources);
  auto generator = at::detail::createCPUGenerator(1);
  const rewards::RewardBatch batch{at::rand({2, 3, 64, 64}, generator),
                                   {"a red circle", "a blue square"}};
  const at::NoGradGuard no_gradient;
  const at::Tensor variance = reward.disagreement(batch);
  ASSERT_EQ(variance.sizes(), (std::vector<int64_t>{2}));
  EXPECT_GT(variance.min().item<float>(), 0);
  EXPECT_FALSE(rewards::brightness_reward().disagreement);
}

}  // namespace
