#include "diffusion/families/families.hpp"

#include <gtest/gtest.h>

#include <set>

#include "diffusion/sampling/sampler_catalog.hpp"
#include "tests/support/refusal.hpp"

namespace {

using diffusion::family_of_network;
using diffusion::ModelFamily;

TEST(Families, AreToldByTheirNetworks) {
  EXPECT_STREQ(family_of_network(768, false, false).name, "Stable Diffusion 1");
  EXPECT_STREQ(family_of_network(1024, false, true).name, "Stable Diffusion 2");
  EXPECT_STREQ(family_of_network(2048, true, true).name, "SDXL");
  // Of another width the structure decides, for a supported family.
  EXPECT_STREQ(family_of_network(32, false, false).name, "Stable Diffusion 1");
  EXPECT_STREQ(family_of_network(32, true, false).name, "SDXL");
  EXPECT_FALSE(family_of_network(1280, true, true).supported);
  EXPECT_TRUE(family_of_network(1280, false, true).supported);
  // A transformer's family is none of a UNet's.
  EXPECT_STREQ(family_of_network(4096, false, false).name, "Stable Diffusion 1");
}

TEST(Families, AreFoundByWidthAndName) {
  ASSERT_NE(diffusion::family_of_width(1024), nullptr);
  EXPECT_STREQ(diffusion::family_of_width(1024)->name, "Stable Diffusion 2");
  EXPECT_EQ(diffusion::family_of_width(777), nullptr);
  EXPECT_EQ(diffusion::family_of_name("SDXL"), diffusion::family_of_width(2048));
  EXPECT_EQ(diffusion::family_of_name("FLUX"), nullptr);
  EXPECT_EQ(diffusion::family_of_name("Stable Diffusion 3"), diffusion::family_of_width(4096));
}

TEST(Families, EveryRowIsComplete) {
  std::set<std::string> names;
  std::set<int64_t> widths;
  for (const ModelFamily& family : diffusion::model_families()) {
    SCOPED_TRACE(family.name);
    EXPECT_TRUE(names.insert(family.name).second);
    if (family.network_part == std::string("unet")) {
      EXPECT_TRUE(widths.insert(family.context_width).second);
    }
    EXPECT_FALSE(family.prefixes.empty());
    if (!family.supported) {
      EXPECT_STRNE(family.instead, "");
      continue;
    }
    EXPECT_FALSE(family.classes.empty());
    EXPECT_FALSE(family.text_encoders.empty());
    EXPECT_STRNE(family.text_layer, "");
    EXPECT_STRNE(family.kohya_version, "");
    EXPECT_STRNE(family.architecture, "");
    if (family.scheduler_class) {
      EXPECT_TRUE(diffusion::sampler_of_class(family.scheduler_class)) << family.scheduler_class;
    }
    EXPECT_EQ(family.both_predictions, family.v_sample_size > 0);
    EXPECT_EQ(family.says_velocity, family.flow_shift > 0);
  }
}

TEST(Families, OfAPipelineClass) {
  for (const ModelFamily& family : diffusion::model_families()) {
    for (const auto& one : family.classes) {
      const auto found = diffusion::class_family(one.name, "here");
      EXPECT_STREQ(found.pipeline.name, one.name);
      EXPECT_EQ(found.family.text_encoders.size(), family.text_encoders.size());
    }
  }
  EXPECT_TRUE(
      diffusion::class_family("LatentConsistencyModelPipeline", "").pipeline.embeds_guidance);
  const std::string said = refusal([] { diffusion::class_family("KolorsPipeline", "a/b.json"); });
  EXPECT_NE(said.find("a/b.json: _class_name"), std::string::npos) << said;
  EXPECT_NE(said.find("StableDiffusionXLPipeline"), std::string::npos) << said;
  EXPECT_NE(said.find("KolorsPipeline"), std::string::npos) << said;
}

TEST(Families, OfATransformerAreToldByBlocksOrWidth) {
  const auto named = [](const std::string& module, int64_t width) {
    return diffusion::family_of_transformer(
               [&](const std::string& start) { return module.starts_with(start); }, width)
        .name;
  };
  EXPECT_STREQ(named("single_transformer_blocks.0.attn.to_q", 32), "FLUX.1");
  EXPECT_STREQ(named("transformer_blocks.0.attn.to_q", 3072), "FLUX.1");
  EXPECT_STREQ(named("transformer_blocks.0.attn.to_q", 1536), "Stable Diffusion 3");
}

}  // namespace
