#include "data/storage/relative_path.hpp"

#include <gtest/gtest.h>

namespace fs = std::filesystem;

TEST(RelativePath, LeadsFromTheFolderToTheFile) {
  EXPECT_EQ(data::relative_path("/a/b/c.png", "/a"), "b/c.png");
  EXPECT_EQ(data::relative_path("/a/b/c.png", "/a/"), "b/c.png");
  EXPECT_EQ(data::relative_path("/a/b/c.png", "/a/d/e"), "../../b/c.png");
  EXPECT_EQ(data::relative_path("/a/./x/../c.png", "/a/y/.."), "c.png");
}

TEST(RelativePath, TakesTheCurrentFolderForAnEmptyOne) {
  EXPECT_EQ(data::relative_path("b/c.png", ""), "b/c.png");
  EXPECT_EQ(data::relative_path(fs::current_path() / "c.png", ""), "c.png");
}
