#include "tools/cli/models.hpp"

#include <gtest/gtest.h>

#include <cstdlib>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "tests/support/fresh_folder.hpp"

namespace {

namespace fs = std::filesystem;

class CheckpointPath : public testing::Test {
 protected:
  void SetUp() override {
    if (const char* value = std::getenv("LAUREL_MODELS")) before_ = value;
    data::write_file(models_ / "small" / "model_index.json", "{}");
    fs::create_directories(models_ / "rewards");
    ::setenv("LAUREL_MODELS", models_.c_str(), 1);
  }
  void TearDown() override {
    if (before_.empty())
      ::unsetenv("LAUREL_MODELS");
    else
      ::setenv("LAUREL_MODELS", before_.c_str(), 1);
  }
  fs::path models_ = tests::fresh_folder();
  std::string before_;
};

TEST_F(CheckpointPath, OfAnEmbeddedModelsNameIsItsFolder) {
  EXPECT_EQ(tools::checkpoint_path("small"), models_ / "small");
  EXPECT_EQ(tools::checkpoint_path(""), models_ / "tiny-world");
}

TEST_F(CheckpointPath, IsEmbeddedWhereItIsAmongThem) {
  EXPECT_TRUE(tools::is_embedded("small"));
  EXPECT_TRUE(tools::is_embedded((models_ / "small" / "").string()));
  EXPECT_FALSE(tools::is_embedded((models_ / "small" / "model_index.json").string()));
  EXPECT_FALSE(tools::is_embedded("missing"));
}

TEST_F(CheckpointPath, OfAnythingElseIsWhatWasGiven) {
  const std::string there = (models_ / "small").string();
  EXPECT_EQ(tools::checkpoint_path(there), there);          // it exists
  EXPECT_EQ(tools::checkpoint_path("rewards"), "rewards");  // no checkpoint
  EXPECT_EQ(tools::checkpoint_path("missing"), "missing");
  EXPECT_THROW(tools::checkpoint_path("some/missing-model"), data::BadInput);
}

// The scale that a training command with these flags takes of a model that says 1.
double scale_of(const std::vector<std::string>& flags, bool declared = true) {
  diffusion::Pipeline pipeline;
  pipeline.guidance_scale = 1;
  double scale = 5;
  tools::Options options("train", "");
  if (declared) options.number("sample_guidance_scale", scale, "", 0, 100);
  options.parse(flags);
  tools::resolve_guidance(pipeline, options, scale);
  return scale;
}

TEST(ResolveGuidance, TakesTheModelsUnlessItIsGiven) {
  EXPECT_EQ(scale_of({}), 1);
  EXPECT_EQ(scale_of({"--sample_guidance_scale=3"}), 3);
  EXPECT_EQ(scale_of({}, false), 5);
}

}  // namespace
