#include "tools/pretrain/vae.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/images/image_io.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/paths.hpp"
#include "tools/pretrain/options.hpp"

namespace {

namespace fs = std::filesystem;

const std::string kRecipe = std::string(tests::source_dir()) + "/models/recipes/vae.toml";

std::vector<std::string> tiny(const fs::path& folder) {
  return {"--config",
          kRecipe,
          "--output_dir",
          folder.string(),
          "--max_train_steps",
          "2",
          "--block_out_channels",
          "8",
          "--block_out_channels",
          "16",
          "--held_out",
          "2",
          "--train_batch_size",
          "2"};
}

// The message of the BadInput that the command throws; it must be one line.
std::string complaint(std::vector<std::string> arguments, const std::vector<std::string>& more) {
  arguments.insert(arguments.end(), more.begin(), more.end());
  try {
    tools::kPretrainVae.run(arguments);
  } catch (const data::BadInput& error) {
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "expected BadInput";
  return "";
}

TEST(PretrainVaeCommand, TrainsByTheRecipeAndMeasuresTheResult) {
  const fs::path folder = tests::fresh_folder();
  EXPECT_EQ(tools::kPretrainVae.run(tiny(folder)), 0);
  for (const char* file :
       {"config.toml", "state.safetensors", "vae/config.json", "vae/README.md"}) {
    EXPECT_TRUE(fs::exists(folder / file)) << file;
  }
  const std::string card = data::read_file(folder / "vae" / "README.md");
  EXPECT_NE(card.find("block_out_channels = ['8', '16']"), std::string::npos) << card;
  EXPECT_EQ(card.find(folder.string()), std::string::npos) << card;
  EXPECT_EQ(tools::kPretrainVae.run({"--evaluate", (folder / "vae").string(), "--held_out", "2"}),
            0);
}

TEST(PretrainVaeCommand, ARefusedRunLeavesTheOthersFilesAlone) {
  const fs::path folder = tests::fresh_folder();
  data::write_file(folder / "state.safetensors", "of another run");
  data::write_file(folder / "config.toml", "of another run");
  EXPECT_NE(complaint(tiny(folder), {}).find("training state"), std::string::npos);
  EXPECT_EQ(data::read_file(folder / "config.toml"), "of another run");
}

TEST(PretrainVaeCommand, TrainsOnAFolder) {
  const fs::path folder = tests::fresh_folder();
  EXPECT_NE(
      complaint(tiny(folder), {"--data", (folder / "absent").string()}).find("folder of images"),
      std::string::npos);
  const auto on_pictures = [&] {
    auto arguments = tiny(folder / "run");
    const std::vector<std::string> more = {"--data", (folder / "pictures").string(), "--resolution",
                                           "16"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  };
  data::write_png(folder / "pictures" / "0.png", at::full({3, 20, 16}, 0.5, at::kFloat));
  EXPECT_NE(complaint(on_pictures(), {}).find("at least 2 images"), std::string::npos);
  data::write_png(folder / "pictures" / "1.png", at::full({3, 16, 16}, 0.2, at::kFloat));
  EXPECT_EQ(tools::kPretrainVae.run(on_pictures()), 0);
  EXPECT_NE(data::read_file(folder / "run" / "vae" / "README.md").find("2 images of a folder"),
            std::string::npos);
}

TEST(PretrainVaeCommand, NamesWhatIsWrong) {
  const fs::path folder = tests::fresh_folder();
  EXPECT_NE(complaint({}, {}).find("--output_dir"), std::string::npos);
  EXPECT_NE(complaint(tiny(folder), {"--crop_size", "9"}).find("multiples of 2"),
            std::string::npos);
  EXPECT_NE(complaint(tiny(folder), {"--block_out_channels", "x"}).find("whole numbers"),
            std::string::npos);
  EXPECT_NE(complaint(tiny(folder), {"--optimizer", "mion"}).find("muon"), std::string::npos);
  EXPECT_NE(complaint(tiny(folder), {"--kl_wieght", "1"}).find("kl_weight"), std::string::npos);
  EXPECT_NE(complaint(tiny(folder), {"stray"}).find("stray"), std::string::npos);
  EXPECT_NE(complaint({"--evaluate", folder.string()}, {}).find("config.json"), std::string::npos);
  EXPECT_FALSE(fs::exists(folder / "vae"));
}

}  // namespace
