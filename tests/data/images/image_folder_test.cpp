#include "data/images/image_folder.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <set>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/images/image_io.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/refusal.hpp"

namespace {

namespace fs = std::filesystem;

// An image of one grey.
void write_grey(const fs::path& path, double grey, int64_t height = 8, int64_t width = 8) {
  data::write_png(path, at::full({3, height, width}, grey, at::kFloat));
}

// The message of the BadInput that opening throws; it must be one line.
std::string complaint(const fs::path& folder, bool require_captions = true) {
  try {
    data::open_image_folder(folder, {.resolution = 8, .require_captions = require_captions});
  } catch (const data::BadInput& error) {
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "expected BadInput";
  return "";
}

TEST(ImageFolder, ReadsCaptionsBesideTheImages) {
  const fs::path folder = tests::fresh_folder();
  write_grey(folder / "a.png", 0.2);
  write_grey(folder / "b.png", 0.8);
  data::write_file(folder / "a.txt", "a dark square\n");
  data::write_file(folder / "b.txt", "a bright square");
  const auto set = data::open_image_folder(folder, {.resolution = 8, .require_captions = true});
  EXPECT_EQ(set.captions, (std::vector<std::string>{"a dark square", "a bright square"}));
  const at::Tensor images = data::folder_images(set, at::tensor({1, 0, 1}, at::kLong));
  EXPECT_EQ(images.sizes(), (std::vector<int64_t>{3, 3, 8, 8}));
  EXPECT_NEAR(images[0].mean().item<double>(), 0.8, 1e-2);
  EXPECT_NEAR(images[1].mean().item<double>(), 0.2, 1e-2);
}

TEST(ImageFolder, ReadsMetadataLines) {
  const fs::path folder = tests::fresh_folder();
  write_grey(folder / "one.png", 0.5);
  write_grey(folder / "unlisted.png", 0.5);
  data::write_file(folder / "metadata.jsonl",
                   "{\"file_name\": \"one.png\", \"text\": \"grey\"}\n\n");
  const auto set = data::open_image_folder(folder, {.resolution = 8});
  ASSERT_EQ(set.files.size(), 1u);
  EXPECT_EQ(set.captions[0], "grey");
}

TEST(ImageFolder, DecodesAtEachUseWhatDoesNotFit) {
  const fs::path folder = tests::fresh_folder();
  write_grey(folder / "a.png", 0.2, 16, 24);
  write_grey(folder / "b.png", 0.8, 5, 4);
  const auto kept = data::open_image_folder(folder, {.resolution = 8});
  const auto not_kept = data::open_image_folder(folder, {.resolution = 8, .cache_bytes = 100});
  EXPECT_TRUE(kept.cache.defined());
  EXPECT_FALSE(not_kept.cache.defined());
  const at::Tensor both = at::tensor({0, 1}, at::kLong);
  const auto difference = data::folder_images(kept, both) - data::folder_images(not_kept, both);
  EXPECT_LT(difference.abs().max().item<double>(), 1.0 / 255);
}

TEST(ImageFolder, TakesTheMiddleSquare) {
  at::Tensor image = at::zeros({3, 4, 10});
  image.narrow(2, 3, 4).fill_(1);
  EXPECT_TRUE(at::equal(data::middle_square(image, 4), at::ones({3, 4, 4})));
  EXPECT_EQ(data::middle_square(image, 2).sizes(), (std::vector<int64_t>{3, 2, 2}));
  EXPECT_NEAR(data::middle_square(image, 8).mean().item<double>(), 1, 1e-6);
}

TEST(ImageFolder, SplitsIntoTwoPartsWithoutOverlap) {
  const auto split = data::split_folder(10, 3);
  std::set<int64_t> seen;
  for (const auto& part : {split.train, split.held_out}) {
    for (int64_t i = 0; i < part.size(0); ++i) seen.insert(part[i].item<int64_t>());
  }
  EXPECT_EQ(split.train.size(0), 7);
  EXPECT_EQ(seen.size(), 10u);
  EXPECT_TRUE(at::equal(split.held_out, data::split_folder(10, 3).held_out));
  EXPECT_EQ(data::split_folder(4, 100).train.size(0), 1);
  EXPECT_THROW(data::split_folder(1, 1), c10::Error);
}

// One bad picture costs one picture.
TEST(ImageFolder, LeavesOutAndNamesWhatCannotBeRead) {
  const fs::path folder = tests::fresh_folder();
  for (const char* name : {"a", "cut", "d", "e", "f"}) {
    write_grey(folder / (std::string(name) + ".png"), 0.5);
    data::write_file(folder / (std::string(name) + ".txt"), name);
  }
  const std::string png = data::read_file(folder / "a.png");
  data::write_file(folder / "b.heic", std::string("\0\0\0\x18"
                                                  "ftypheic",
                                                  12));
  data::write_file(folder / "b.txt", "b");
  data::write_file(folder / "cut.png", png.substr(0, png.size() / 2));
  data::write_file(folder / "d.txt", "caf\xe9");
  for (const int64_t bytes : {int64_t{1} << 20, int64_t{10}}) {
    const auto set = data::open_image_folder(
        folder, {.resolution = 8, .require_captions = true, .cache_bytes = bytes});
    const bool decodes = bytes > 10;  // at opening
    EXPECT_EQ(set.cache.defined(), decodes);
    EXPECT_EQ(set.captions, decodes ? (std::vector<std::string>{"a", "e", "f"})
                                    : (std::vector<std::string>{"a", "cut", "e", "f"}));
    ASSERT_EQ(set.files.size(), set.captions.size());
    ASSERT_EQ(set.faults.size(), decodes ? 3u : 2u);
    EXPECT_NE(set.faults[0].find("d.txt"), std::string::npos) << set.faults[0];
    EXPECT_NE(set.faults[1].find("b.heic"), std::string::npos) << set.faults[1];
    EXPECT_NE(set.faults[1].find("HEIC"), std::string::npos) << set.faults[1];
    const at::Tensor image = data::folder_images(set, at::tensor({2}, at::kLong));
    EXPECT_NEAR(image.mean().item<double>(), 0.5, 1e-2);
  }
  EXPECT_NE(refusal([&] { data::open_images({folder / "a.png", folder / "b.heic"}, 8); }), "");
}

TEST(ImageFolder, NamesWhatIsWrong) {
  const fs::path folder = tests::fresh_folder();
  EXPECT_NE(complaint(folder / "absent").find("nothing"), std::string::npos);
  complaint(folder);  // no images
  write_grey(folder / "a.png", 0.5);
  EXPECT_NE(complaint(folder / "a.png").find("a file"), std::string::npos);
  EXPECT_NE(complaint(folder).find("a.txt"), std::string::npos);
  data::write_file(folder / "a.txt", "caf\xe9");
  EXPECT_NE(complaint(folder).find("UTF-8"), std::string::npos);
  const auto with_metadata = [&](const std::string& line) {
    data::write_file(folder / "metadata.jsonl", line);
    return complaint(folder);
  };
  fs::remove(folder / "a.txt");
  EXPECT_NE(with_metadata("{\"file_name\": \"a.png\"}").find(":1: expected"), std::string::npos);
  EXPECT_NE(with_metadata("{\"file_name\": \"b.png\", \"text\": \"x\"}").find("no file"),
            std::string::npos);
  EXPECT_NE(with_metadata("{\"file_name\": \"" + std::string(300, 'b') + "\", \"text\": \"x\"}")
                .find("no file"),
            std::string::npos);
  EXPECT_NE(with_metadata("not json").find("no JSON: column"), std::string::npos);
  fs::remove(folder / "metadata.jsonl");
  data::write_file(folder / "a.png", "not an image");
  complaint(folder, false);
}

}  // namespace
