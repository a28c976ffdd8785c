#include "data/weights/hub_cache.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "tests/support/fresh_folder.hpp"

namespace {

namespace fs = std::filesystem;

// A cache in huggingface_hub's layout: blobs, and a snapshot of links to them.
class HubCache : public testing::Test {
 protected:
  void SetUp() override {
    cache_ = tests::fresh_folder();
    ::setenv("HF_HUB_CACHE", cache_.c_str(), 1);
  }
  void TearDown() override { ::unsetenv("HF_HUB_CACHE"); }
  fs::path add_snapshot(const std::string& model, const std::string& hash) {
    const fs::path folder = cache_ / model, snapshot = folder / "snapshots" / hash;
    data::write_file(folder / "blobs" / "abc", "{}");
    fs::create_directories(snapshot);
    fs::create_symlink("../../blobs/abc", snapshot / "model_index.json");
    return snapshot;
  }
  std::string complaint(const std::string& name) {
    try {
      data::find_in_hub_cache(name);
    } catch (const data::BadInput& error) {
      return error.what();
    }
    ADD_FAILURE() << "expected BadInput";
    return "";
  }
  fs::path cache_;
};

TEST_F(HubCache, TheSnapshotOfMainIsTaken) {
  const fs::path old = add_snapshot("models--org--name", "111");
  EXPECT_EQ(data::find_in_hub_cache("org/name"), old);  // the only one
  const fs::path main = add_snapshot("models--org--name--x", "222");
  add_snapshot("models--org--name--x", "333");
  EXPECT_NE(complaint("org/name--x").find("no snapshot"), std::string::npos);
  data::write_file(cache_ / "models--org--name--x/refs/main", "222\n");
  EXPECT_EQ(data::find_in_hub_cache("org/name--x"), main);
  EXPECT_EQ(data::read_file(data::find_in_hub_cache("org/name--x/model_index.json")), "{}");
}

TEST_F(HubCache, AnAbsentModelTellsWhereAndHow) {
  const std::string text = complaint("org/none");
  EXPECT_NE(text.find((cache_ / "models--org--none").string()), std::string::npos);
  EXPECT_NE(text.find("hf download org/none"), std::string::npos);
  add_snapshot("models--org--name", "111");
  EXPECT_NE(complaint("org/name/v1.safetensors").find("hf download org/name v1.safetensors"),
            std::string::npos);
}

TEST_F(HubCache, ThePlaceFollowsTheEnvironment) {
  EXPECT_EQ(data::hub_cache_folder(), cache_);
  ::unsetenv("HF_HUB_CACHE");
  ::setenv("HF_HOME", "/somewhere", 1);
  EXPECT_EQ(data::hub_cache_folder(), "/somewhere/hub");
  ::unsetenv("HF_HOME");
  ::setenv("HOME", "/home/me", 1);
  ::unsetenv("XDG_CACHE_HOME");
  EXPECT_EQ(data::hub_cache_folder(), "/home/me/.cache/huggingface/hub");
}

TEST(HubName, OrgSlashName) {
  for (const char* name : {"stable-diffusion-v1-5/stable-diffusion-v1-5", "a/b.c", "a/b/c.ckpt"})
    EXPECT_TRUE(data::is_hub_name(name)) << name;
  for (const char* name : {"model", "/a/b", "./a/b", "../a", "a/", "a//b", "a/b c", "~/a", "/"})
    EXPECT_FALSE(data::is_hub_name(name)) << name;
}

}  // namespace
