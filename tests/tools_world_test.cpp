#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>

#include "data/error.hpp"
#include "data/files.hpp"
#include "data/image_io.hpp"
#include "data/scene/oracle.hpp"
#include "tools/commands.hpp"

namespace {

std::filesystem::path fresh_folder(const std::string& name) {
  const auto folder = std::filesystem::path(testing::TempDir()) / ("laurel_world_" + name);
  std::filesystem::remove_all(folder);
  return folder;
}

TEST(WorldCommand, DrawsScenesThatTheOracleReadsFromTheFiles) {
  const auto folder = fresh_folder("draw");
  ASSERT_EQ(tools::cmd_world({"--out", folder.string(), "--count", "5", "--split", "unseen"}), 0);
  for (int index = 0; index < 5; ++index) {
    const auto stem = folder / ("00000" + std::to_string(index));
    std::string caption = data::read_file(stem.string() + ".txt");
    caption.pop_back();
    EXPECT_TRUE(scene::caption_match(data::read_image(stem.string() + ".png"), caption).exact)
        << caption;
  }
  const std::string metadata = data::read_file(folder / "metadata.jsonl");
  EXPECT_EQ(std::count(metadata.begin(), metadata.end(), '\n'), 5);
}

TEST(WorldCommand, RefusesAFolderThatHoldsPicturesAlready) {
  const auto folder = fresh_folder("twice");
  tools::cmd_world({"--out", folder.string(), "--count", "1"});
  EXPECT_THROW(tools::cmd_world({"--out", folder.string(), "--count", "1"}), data::BadInput);
  EXPECT_THROW(tools::cmd_world({}), data::BadInput);
  EXPECT_THROW(tools::cmd_world({"--out", folder.string(), "--split", "both"}), data::BadInput);
}

}  // namespace
