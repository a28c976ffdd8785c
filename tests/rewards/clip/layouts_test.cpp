#include "rewards/clip/layouts.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/weights/safetensors.hpp"
#include "data/weights/torch_file.hpp"
#include "rewards/clip/files.hpp"
#include "rewards/clip/open.hpp"
#include "rewards/scorers/aesthetic.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/golden.hpp"
#include "tests/support/gradient_check.hpp"
#include "tests/support/refusal.hpp"

namespace {

namespace fs = std::filesystem;

fs::path layouts() { return golden::folder() / "clip_layouts"; }
const data::Weights& expected() {
  static const data::Weights all = data::read_safetensors(layouts() / "expected.safetensors");
  return all;
}
double difference(const at::Tensor& a, const at::Tensor& b) {
  return (a.to(at::kFloat) - b.to(at::kFloat)).abs().max().item<double>();
}

void expect_features(const rewards::Clip& clip, const std::string& model) {
  const auto& golden = expected().tensors;
  const at::Tensor image = rewards::image_features(clip, golden.at("images"));
  const at::Tensor text = rewards::text_features(clip, golden.at("ids"));
  golden::expect_agreement("clip " + model + " image embedding",
                           difference(image, golden.at(model + ".image")), 2e-5);
  golden::expect_agreement("clip " + model + " text embedding",
                           difference(text, golden.at(model + ".text")), 2e-5);
}

TEST(ClipLayouts, OpenClipFolderIsOpenClips) {
  const auto opened = rewards::open_clip_model(layouts(), {});
  EXPECT_EQ(opened.clip.vision.config.encoder.num_attention_heads, 4);  // head_width 16
  EXPECT_EQ(opened.clip.transform.fit, rewards::Fit::kTorchvision);
  EXPECT_NE(opened.description.find("OpenCLIP layout, ViT 64x2/8 of 4 heads, gelu"),
            std::string::npos)
      << opened.description;
  expect_features(opened.clip, "open_clip");
}

TEST(ClipLayouts, OpenAisTorchScriptArchiveIsRead) {
  const fs::path file = layouts() / "openai" / "openai.pt";
  const auto opened = rewards::open_clip_model(file, {});
  EXPECT_NE(opened.description.find("quick_gelu"), std::string::npos) << opened.description;
  expect_features(opened.clip, "openai");
}

// The same weights in every layout give the same embeddings; another activation does not.
TEST(ClipLayouts, AllLayoutsAreTheSameModel) {
  const auto opened = rewards::open_clip_model(layouts(), {});
  const auto& golden = expected().tensors;
  const at::Tensor image = rewards::image_features(opened.clip, golden.at("images"));
  const at::Tensor text = rewards::text_features(opened.clip, golden.at("ids"));
  const fs::path folder = tests::fresh_folder("all");
  const auto open_clip = data::read_safetensors(layouts() / "open_clip_model.safetensors");
  const auto same = [&](const fs::path& place) {
    const auto again = rewards::open_clip_model(place, {}).clip;
    // A transposed matrix takes another kernel than a stored one.
    EXPECT_LE(difference(rewards::image_features(again, golden.at("images")), image), 1e-6)
        << place;
    EXPECT_LE(difference(rewards::text_features(again, golden.at("ids")), text), 1e-6) << place;
  };
  rewards::save_clip(folder / "hugging_face", opened.clip, at::kFloat);
  same(folder / "hugging_face");
  for (const std::string prefix : {"module.", "model.", "mps.model.", "clip."}) {
    data::Weights renamed;
    for (const auto& [name, tensor] : open_clip.tensors) renamed.tensors[prefix + name] = tensor;
    const fs::path place = folder / prefix;
    data::write_safetensors(place / "open_clip_model.safetensors", renamed);
    fs::copy_file(layouts() / "open_clip_config.json", place / "open_clip_config.json");
    same(place);
  }
  data::Weights custom;
  for (const auto& [name, tensor] : open_clip.tensors) {
    const bool text_tower = !name.starts_with("visual.") && name != "logit_scale";
    custom.tensors[(text_tower ? "text." : "") + name] = tensor;
  }
  data::write_safetensors(folder / "custom" / "open_clip_model.safetensors", custom);
  fs::copy_file(layouts() / "open_clip_config.json", folder / "custom" / "open_clip_config.json");
  same(folder / "custom");
  EXPECT_EQ(rewards::rename_clip(custom).layout, rewards::ClipLayout::kCustomText);
  const auto quick = rewards::open_clip_model(layouts(), {.act = nn::Activation::kQuickGelu}).clip;
  EXPECT_GT(difference(rewards::image_features(quick, golden.at("images")), image), 1e-4);
}

TEST(ClipLayouts, SizesOfThePublishedModelsAreTold) {
  struct Published {
    int64_t width, layers, heads, mlp, patch, tokens, text_width, text_heads, embed;
  };
  for (const Published& one :
       {Published{768, 12, 12, 3072, 32, 50, 512, 8, 512},        // B/32
        Published{768, 12, 12, 3072, 16, 197, 512, 8, 512},       // B/16
        Published{1024, 24, 16, 4096, 14, 257, 768, 12, 768},     // L/14
        Published{1280, 32, 16, 5120, 14, 257, 1024, 16, 1024},   // H/14: heads of 80
        Published{1664, 48, 16, 8192, 14, 257, 1280, 20, 1280}})  // bigG: heads of 104
  {
    rewards::NamedClip clip;
    auto& t = clip.weights.tensors;
    const auto meta = [](at::IntArrayRef shape) {
      return at::empty(shape, at::TensorOptions(at::kMeta).dtype(at::kHalf));
    };
    t["vision_model.embeddings.patch_embedding.weight"] =
        meta({one.width, 3, one.patch, one.patch});
    t["vision_model.embeddings.position_embedding.weight"] = meta({one.tokens, one.width});
    t["text_model.embeddings.token_embedding.weight"] = meta({49408, one.text_width});
    t["text_model.embeddings.position_embedding.weight"] = meta({77, one.text_width});
    t["visual_projection.weight"] = meta({one.embed, one.width});
    for (int64_t i = 0; i < one.layers; ++i)
      t["vision_model.encoder.layers." + std::to_string(i) + ".mlp.fc1.weight"] =
          meta({one.mlp, one.width});
    t["text_model.encoder.layers.0.mlp.fc1.weight"] = meta({4 * one.text_width, one.text_width});
    const auto config = rewards::infer_clip_config(clip, nn::Activation::kGelu);
    EXPECT_EQ(config.vision.encoder.num_attention_heads, one.heads);
    EXPECT_EQ(config.vision.encoder.num_hidden_layers, one.layers);
    EXPECT_EQ(config.vision.encoder.intermediate_size, one.mlp);
    EXPECT_EQ(config.vision.image_size, 224);
    EXPECT_EQ(config.text.encoder.num_attention_heads, one.text_heads);
    EXPECT_EQ(config.projection_dim, one.embed);
    EXPECT_EQ(config.text.eos_token_id, 49407);
  }
}

TEST(ClipLayouts, WhatIsWrongIsSaidAndTraced) {
  const fs::path folder = tests::fresh_folder("wrong");
  data::Weights weights = data::read_safetensors(layouts() / "open_clip_model.safetensors");
  const auto file = folder / "clip.safetensors";
  data::write_safetensors(file, weights);
  EXPECT_NE(refusal([&] { rewards::open_clip_model(file, {}); }).find(";act=quick_gelu"),
            std::string::npos);
  weights.tensors.erase("visual.ln_pre.bias");
  weights.tensors["surprise"] = at::ones({3});
  data::write_safetensors(file, weights);
  std::vector<std::string> lines;
  const rewards::ClipOpening opening{
      .act = nn::Activation::kGelu,
      .trace = [&](const std::string& line) { lines.push_back(line); }};
  const std::string said = refusal([&] { rewards::open_clip_model(file, opening); });
  EXPECT_NE(said.find("1 tensors are missing (the first: vision_model.pre_layrnorm.bias), 1 are "
                      "unexpected"),
            std::string::npos)
      << said;
  const auto traced = [&](const std::string& line) {
    return std::find(lines.begin(), lines.end(), line) != lines.end();
  };
  EXPECT_TRUE(traced("missing     vision_model.pre_layrnorm.bias"));
  EXPECT_TRUE(traced("unexpected  (unknown) surprise [3]"));
  EXPECT_TRUE(traced("mapped      visual_projection.weight [12, 64]"));
  data::Weights other;
  other.tensors["unet.weight"] = at::ones({2});
  data::write_safetensors(file, other);
  EXPECT_NE(refusal([&] { rewards::open_clip_model(file, {}); }).find("expected a CLIP"),
            std::string::npos);
}

// Research notes 1.7: a table computed from the packages' rounding rules.
TEST(ImageTransform, GeometryIsEachPackages) {
  struct Row {
    int64_t width, height, new_width, new_height, torchvision_left, torchvision_top, hf_left,
        hf_top, box_width, box_height, pad_left, pad_top;
  };
  for (const Row& row : {Row{512, 512, 224, 224, 0, 0, 0, 0, 224, 224, 0, 0},
                         Row{640, 427, 335, 224, 56, 0, 55, 0, 224, 149, 0, 37},
                         Row{427, 640, 224, 335, 0, 56, 0, 55, 149, 224, 37, 0},
                         Row{1024, 768, 298, 224, 37, 0, 37, 0, 224, 168, 0, 28},
                         Row{768, 1344, 224, 392, 0, 84, 0, 84, 128, 224, 48, 0},
                         Row{1920, 1080, 398, 224, 87, 0, 87, 0, 224, 126, 0, 49},
                         Row{333, 500, 224, 336, 0, 56, 0, 56, 149, 224, 37, 0},
                         Row{225, 224, 225, 224, 0, 0, 0, 0, 224, 223, 0, 0}}) {
    const auto place = [&](rewards::Fit fit) {
      return rewards::geometry({.fit = fit}, row.height, row.width);
    };
    const auto tv = place(rewards::Fit::kTorchvision), hf = place(rewards::Fit::kHuggingFace),
               box = place(rewards::Fit::kLetterbox);
    EXPECT_EQ(std::pair(tv.width, tv.height), std::pair(row.new_width, row.new_height));
    EXPECT_EQ(std::pair(tv.left, tv.top), std::pair(row.torchvision_left, row.torchvision_top));
    EXPECT_EQ(std::pair(hf.left, hf.top), std::pair(row.hf_left, row.hf_top));
    EXPECT_EQ(std::pair(box.width, box.height), std::pair(row.box_width, row.box_height));
    EXPECT_EQ(std::pair(box.left, box.top), std::pair(row.pad_left, row.pad_top));
  }
  EXPECT_EQ(rewards::geometry({.fit = rewards::Fit::kLetterbox}, 1, 20000).height, 1);
}

TEST(ImageTransform, EqualsThePackagesOnFilesOfManySizes) {
  // After the division by the deviation. Two rounded passes can differ by more than one level where
  // the image grows.
  const double grey_level = 1.0 / 255 / 0.26;
  for (const auto& [name, tensor] : expected().tensors) {
    if (!name.starts_with("photo.")) continue;
    const std::string size = name.substr(6);
    const at::Tensor image = tensor.to(at::kFloat).div(255).unsqueeze(0);
    rewards::ImageTransform transform{.size = 16};
    const auto check = [&](rewards::Fit fit, bool antialias, const std::string& golden_name) {
      const auto golden = expected().tensors.find(golden_name + "." + size);
      if (golden == expected().tensors.end()) return;
      transform.fit = fit;
      transform.antialias = antialias;
      const at::Tensor exact = rewards::clip_preprocess_exact(transform, image)[0];
      golden::expect_agreement("preprocessing " + golden_name + " " + size,
                               difference(exact, golden->second), 2e-6);
      const at::Tensor floats = rewards::clip_preprocess(transform, image)[0];
      EXPECT_LE(difference(floats, golden->second), 1.5 * grey_level) << golden_name << size;
    };
    check(rewards::Fit::kTorchvision, true, "torchvision");
    check(rewards::Fit::kHuggingFace, true, "hugging_face");
    check(rewards::Fit::kLetterbox, true, "letterbox");
    check(rewards::Fit::kLetterbox, false, "letterbox_no_antialias");
  }
}

TEST(ImageTransform, ConstantImagesStayAndTwoByTwoIsAveraged) {
  const rewards::ImageTransform plain{.size = 1, .mean = {0, 0, 0}, .std = {1, 1, 1}};
  at::Tensor image = at::zeros({1, 3, 2, 2});
  image.select(2, 0).select(2, 0).fill_(200.0 / 255);  // 200, 0, 0, 100: the mean is 75
  image.select(2, 1).select(2, 1).fill_(100.0 / 255);
  EXPECT_NEAR(rewards::clip_preprocess_exact(plain, image).flatten()[0].item<double>(), 75.0 / 255,
              1.0 / 255);
  EXPECT_NEAR(rewards::clip_preprocess(plain, image).flatten()[0].item<double>(), 75.0 / 255, 1e-6);
  const rewards::ImageTransform wide{.size = 7, .mean = {0, 0, 0}, .std = {1, 1, 1}};
  const at::Tensor grey = at::full({1, 3, 20, 31}, 77.0 / 255);
  EXPECT_LE(
      difference(rewards::clip_preprocess_exact(wide, grey), at::full({1, 3, 7, 7}, 77.0 / 255)),
      1e-6);
}

TEST(ImageTransform, GradientsAreThoseOfDifferences) {
  auto generator = at::detail::createCPUGenerator(3);
  const at::Tensor image = 0.2 + 0.6 * at::rand({1, 3, 5, 7}, generator, at::kDouble);
  const at::Tensor weights = at::randn({1, 3, 4, 4}, generator, at::kDouble);
  for (const auto fit :
       {rewards::Fit::kTorchvision, rewards::Fit::kHuggingFace, rewards::Fit::kLetterbox}) {
    const rewards::ImageTransform transform{.size = 4, .fit = fit};
    const auto f = [&](const at::Tensor& x) {
      return (rewards::clip_preprocess(transform, x) * weights).sum();
    };
    EXPECT_LT(gradient_error(f, image), 1e-6);
  }
}

TEST(Aesthetic, FoldedIsTheSameFunction) {
  auto generator = at::detail::createCPUGenerator(5);
  const auto head = rewards::make_aesthetic(rewards::AestheticForm::kLinearMlp, 24, generator);
  const auto folded = rewards::folded(head);
  EXPECT_EQ(folded.layers.size(), 1u);
  const at::Tensor x = at::randn({8, 24}, generator, at::kFloat);
  EXPECT_LE(difference(rewards::aesthetic_forward(folded, x), rewards::aesthetic_forward(head, x)),
            1e-5);
  const auto relu = rewards::make_aesthetic(rewards::AestheticForm::kReluMlp, 24, generator);
  EXPECT_EQ(rewards::folded(relu).layers.size(), 5u);
}

}  // namespace
