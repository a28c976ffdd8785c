// Conditions of `laurel sample` other than prompts: a source image, sizes.

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/images/image_files.hpp"
#include "data/images/image_io.hpp"
#include "diffusion/checkpoints/diffusers_folder.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/refusal.hpp"
#include "tests/support/tiny/families.hpp"
#include "tools/sample/command.hpp"
#include "tools/sample/jobs.hpp"

namespace {

namespace fs = std::filesystem;

TEST(SizeConditions, AreReadForSdxlAlone) {
  tools::ConditionConfig config;
  config.original_size = "64x48";
  config.crop_top_left = "4,12";
  const auto sdxl = tests::tiny_sdxl();
  const auto sizes = tools::size_conditions(config, sdxl);
  EXPECT_EQ(sizes.original_width, 64);
  EXPECT_EQ(sizes.original_height, 48);
  EXPECT_EQ(sizes.crop_top, 4);
  EXPECT_EQ(sizes.crop_left, 12);
  EXPECT_EQ(sizes.target_height, 0);
  EXPECT_NE(refusal([&] { tools::size_conditions(config, tests::tiny_pipeline()); }).find("SDXL"),
            std::string::npos);
  for (const char* wrong : {"64", "64x", "x48", "64*48", "64x-1", "64x48x3"}) {
    config.original_size = wrong;
    const std::string said = refusal([&] { tools::size_conditions(config, sdxl); });
    EXPECT_NE(said.find("--original_size: expected WIDTHxHEIGHT"), std::string::npos) << said;
  }
}

TEST(SourceImage, GoesWithEditingModelsAlone) {
  tools::ConditionConfig config;
  EXPECT_FALSE(tools::source_image(config, tests::tiny_pipeline()).defined());
  EXPECT_NE(refusal([&] { tools::source_image(config, tests::tiny_ip2p()); }).find("give --image"),
            std::string::npos);
  config.image = "somewhere.png";
  EXPECT_NE(refusal([&] { tools::source_image(config, tests::tiny_sdxl()); }).find("omit --image"),
            std::string::npos);
  EXPECT_NE(refusal([&] { tools::source_image(config, tests::tiny_ip2p()); }).find(config.image),
            std::string::npos);
}

TEST(SourceImage, DecidesTheSizeAndIsFitted) {
  const auto pipeline = tests::tiny_ip2p();
  const at::Tensor image = at::full({3, 19, 30}, 0.25);
  tools::SampleConfig config;
  tools::resolve_family(config, {}, image, pipeline);
  EXPECT_EQ(config.height, 18);  // multiples of the VAE's 2
  EXPECT_EQ(config.width, 30);
  EXPECT_EQ(config.steps, 20);
  const at::Tensor fitted = tools::fitted_image(image, 18, 30);
  EXPECT_EQ(fitted.sizes(), at::IntArrayRef({3, 18, 30}));
  EXPECT_NEAR(fitted.mean().item<double>(), 0.25, 1e-5);
  EXPECT_TRUE(tools::fitted_image(image, 19, 30).is_same(image));
  EXPECT_FALSE(tools::fitted_image({}, 19, 30).defined());
  EXPECT_EQ(tools::fitted_side(1, pipeline), 2);
}

TEST(SettleFamily, AnLcmTakesFourStepsUnlessToldOtherwise) {
  const auto pipeline = tests::tiny_lcm();
  tools::SampleConfig config;
  tools::resolve_family(config, {.steps = false, .cfg_scale = true}, {}, pipeline);
  EXPECT_EQ(config.steps, 4);
  EXPECT_EQ(config.cfg_scale, tools::SampleConfig().cfg_scale);
  config.steps = 7;
  tools::resolve_family(config, {.steps = true, .cfg_scale = false}, {}, pipeline);
  EXPECT_EQ(config.steps, 7);
  EXPECT_EQ(config.cfg_scale, 8.5);
}

TEST(SettleFamily, AModelMaySayItsGuidance) {
  auto pipeline = tests::tiny_pipeline();
  pipeline.guidance_scale = 1;
  tools::SampleConfig config;
  config.cfg_scale = 3;
  tools::resolve_family(config, {.steps = false, .cfg_scale = true}, {}, pipeline);
  EXPECT_EQ(config.cfg_scale, 3);
  tools::resolve_family(config, {}, {}, pipeline);
  EXPECT_EQ(config.cfg_scale, 1);
}

TEST(SampleCommand, EditsAnImage) {
  const fs::path place = tests::fresh_folder();
  diffusion::save_pipeline(place / "model", tests::tiny_ip2p(), at::kFloat);
  data::write_png(place / "in.png", at::full({3, 24, 16}, 0.5));
  EXPECT_EQ(tools::kSample.run({"--model=" + (place / "model").string(), "--prompt=make it red",
                                "--image=" + (place / "in.png").string(), "--steps=2",
                                "--image_guidance_scale=2", "--device=cpu",
                                "--output_dir=" + (place / "out").string()}),
            0);
  const auto images = data::list_images((place / "out").string());
  ASSERT_EQ(images.size(), 1u);
  EXPECT_EQ(data::read_image(images[0]).sizes(), at::IntArrayRef({3, 24, 16}));
  EXPECT_NE(data::read_file(images[0]).find("Image CFG scale: 2"), std::string::npos);
}

TEST(SampleCommand, MakesImagesWithSdxl) {
  const fs::path place = tests::fresh_folder();
  diffusion::save_pipeline(place / "model", tests::tiny_sdxl(), at::kFloat);
  EXPECT_EQ(tools::kSample.run({"--model=" + (place / "model").string(), "--prompt=a red circle",
                                "--steps=2", "--device=cpu", "--original_size=64x64",
                                "--output_dir=" + (place / "out").string()}),
            0);
  const auto images = data::list_images((place / "out").string());
  ASSERT_EQ(images.size(), 1u);
  EXPECT_NE(data::read_file(images[0]).find("Original size: 64x64"), std::string::npos);
}

}  // namespace
