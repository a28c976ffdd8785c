#include "tools/pretrain/flow.hpp"

#include <gtest/gtest.h>

#include <filesystem>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "diffusion/checkpoints/diffusers_folder.hpp"
#include "diffusion/pipeline/t5_text.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/paths.hpp"

namespace {

namespace fs = std::filesystem;

const fs::path kModels = fs::path(tests::source_dir()) / "models";

std::vector<std::string> tiny(const fs::path& folder) {
  return {"--config=" + (kModels / "recipes" / "flow.toml").string(),
          "--output_dir=" + folder.string(),
          "--vae=" + (kModels / "tiny-world" / "vae").string(),
          "--text_encoder=" + (kModels / "tiny-world" / "text_encoder").string(),
          "--teacher=" + (kModels / "tiny-world").string(),
          "--max_train_steps=2",
          "--images=4",
          "--held_out=2",
          "--num_layers=1",
          "--num_attention_heads=1",
          "--train_batch_size=2",
          "--exam_prompts=1",
          "--num_inference_steps=1"};
}

// The message of the BadInput that the command throws; it must be one line.
std::string complaint(std::vector<std::string> arguments, const std::string& more) {
  arguments.push_back(more);
  try {
    tools::kPretrainFlow.run(arguments);
  } catch (const data::BadInput& error) {
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "expected BadInput";
  return "";
}

TEST(PretrainFlowCommand, WritesACheckpointOfStableDiffusion3WithoutRowsOfT5) {
  const fs::path folder = tests::fresh_folder();
  EXPECT_EQ(tools::kPretrainFlow.run(tiny(folder)), 0);
  const auto pipeline = diffusion::load_pipeline(folder / "checkpoint");
  EXPECT_EQ(pipeline.class_name, "StableDiffusion3Pipeline");
  ASSERT_TRUE(pipeline.t5_text);
  EXPECT_EQ(pipeline.t5_text->max_sequence_length, 0);
  EXPECT_EQ(pipeline.guidance_scale, 1);  // the recipe's teacher is guided
  ASSERT_TRUE(pipeline.scheduler.flow);
  EXPECT_EQ(pipeline.scheduler.flow->shift, 1);
  const auto text = diffusion::encode_prompts(pipeline, {"a red circle"});
  EXPECT_EQ(text.hidden.sizes(), (std::vector<int64_t>{1, 32, 256}));
  EXPECT_EQ(text.pooled.sizes(), (std::vector<int64_t>{1, 256}));
  // both encoders are one and the same
  EXPECT_TRUE(at::equal(text.hidden.slice(2, 0, 128), text.hidden.slice(2, 128)));
  const std::string card = data::read_file(folder / "checkpoint" / "README.md");
  EXPECT_NE(card.find("error of the velocity"), std::string::npos) << card;
}

TEST(PretrainFlowCommand, NamesWhatIsWrong) {
  const fs::path folder = tests::fresh_folder();
  EXPECT_NE(complaint(tiny(folder), "--patch_size=3").find("patch_size: expected a divisor"),
            std::string::npos);
  EXPECT_NE(complaint(tiny(folder), "--vae=").find("--vae FOLDER"), std::string::npos);
  const std::string other = (fs::path(tests::source_dir()) / "tests/golden/sd3/sd35").string();
  EXPECT_NE(complaint(tiny(folder), "--teacher=" + other).find("teacher: expected"),
            std::string::npos);
}

}  // namespace
