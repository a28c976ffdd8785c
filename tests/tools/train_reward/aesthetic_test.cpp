// laurel train-reward aesthetic on ratings, as a user runs it.

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "data/base/files.hpp"
#include "data/images/image_io.hpp"
#include "data/weights/safetensors.hpp"
#include "tests/support/bad_input.hpp"

namespace {

namespace fs = std::filesystem;

class TrainAesthetic : public testing::Test {
 protected:
  void SetUp() override {
    fs::remove_all(folder_);
    for (int i = 0; i < kImages; ++i) {
      const std::string name = std::to_string(i) + ".png";
      data::write_png(folder_ / name, at::full({3, 8, 8}, i / 30.0));
      ratings_ += "{\"image\": \"" + name + "\", \"rating\": " + std::to_string(1 + i % 10) + "}\n";
    }
  }
  void TearDown() override { fs::remove_all(folder_); }
  bad_input::Outcome run() const {
    data::write_file(folder_ / "ratings.jsonl", ratings_);
    return bad_input::run_laurel(
        "train-reward aesthetic --ratings @/ratings.jsonl --epochs 1 -o @/taste.safetensors",
        folder_.string());
  }
  static constexpr int kImages = 26;
  const fs::path folder_ = fs::path(testing::TempDir()) / "laurel_train_aesthetic";
  std::string ratings_;
};

TEST_F(TrainAesthetic, LeavesOutAnImageThatItCannotRead) {
  data::write_file(folder_ / "7.png", "no picture");
  const auto outcome = run();
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_NE(outcome.complaint.find("7.png: not a readable image"), std::string::npos)
      << outcome.complaint;
  EXPECT_TRUE(fs::exists(folder_ / "taste.safetensors"));
  fs::remove(folder_ / "taste.safetensors");
  data::write_file(folder_ / "8.png", "no picture");
  EXPECT_NE(run().complaint.find("at least 25 readable images, found 24"), std::string::npos);
  EXPECT_FALSE(fs::exists(folder_ / "taste.safetensors"));
}

TEST_F(TrainAesthetic, NamesARatingOutsideTheScale) {
  ratings_ += "{\"image\": \"0.png\", \"rating\": 700}\n";
  bad_input::expect_complaint(
      run(), {"@/ratings.jsonl:27: rating: expected a number from 1 to 10, found 700"},
      folder_.string());
  EXPECT_FALSE(fs::exists(folder_ / "taste.safetensors"));
}

TEST_F(TrainAesthetic, WritesMembersOfOneClipIntoOneFile) {
  data::write_file(folder_ / "ratings.jsonl", ratings_);
  const auto outcome = bad_input::run_laurel(
      "train-reward aesthetic --ratings @/ratings.jsonl --epochs 1 --members 3 --vary data "
      "--label-noise 0.25 -o @/three.safetensors",
      folder_.string());
  EXPECT_EQ(outcome.exit_code, 0) << outcome.complaint;
  const auto file = data::read_safetensors(folder_ / "three.safetensors");
  EXPECT_TRUE(data::has(file, "members.2.layers.0.weight"));
  EXPECT_FALSE(data::has(file, "members.3.layers.0.weight"));
  EXPECT_EQ(file.metadata.at("laurel.vary"), "data");
  EXPECT_EQ(file.metadata.at("laurel.label_noise"), "0.25");
  EXPECT_FALSE(at::equal(file.tensors.at("members.0.layers.0.weight"),
                         file.tensors.at("members.1.layers.0.weight")));
}

TEST_F(TrainAesthetic, RefusesMembersThatDoNotFit) {
  data::write_file(folder_ / "ratings.jsonl", ratings_);
  const auto refused = [&](const std::string& options, const std::string& said) {
    bad_input::expect_refused(
        {"refused",
         "train-reward aesthetic --ratings @/ratings.jsonl --epochs 1 " + options,
         {said}},
        folder_.string());
  };
  refused("-o @/a.safetensors --clips @", "--clips: goes with --vary clip, found --vary seed");
  refused("-o @/a --vary clip --clips @", "expected --clips with 2 to 64 CLIP folders, found 1");
  refused("-o @/a --vary clip --clips @,@/none", "none: expected a CLIP folder, found none");
  refused("-o @/a --vary clip --clips @,@ --members 3",
          "each of the 2 folders of --clips, found 3");
  refused("-o @/a.safetensors --vary clip --clips @,@",
          "members of different CLIPs do not fit one file; name a folder");
}

}  // namespace
