// The kinds of images that folders hold, beside Pillow.

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "data/base/files.hpp"
#include "data/images/image_io.hpp"
#include "data/weights/safetensors.hpp"
#include "tests/support/golden.hpp"
#include "tests/support/refusal.hpp"

namespace {

TEST(ImageKinds, AreReadAsPillowReadsThem) {
  const auto folder = golden::folder() / "images";
  const auto golden = data::read_safetensors(folder / "pixels.safetensors");
  EXPECT_EQ(golden.tensors.size(), 9u);
  for (const auto& [name, expected] : golden.tensors) {
    const at::Tensor found = data::decode_pixels(data::read_file(folder / name), name);
    ASSERT_EQ(found.sizes(), expected.sizes()) << name;
    const int64_t error = (found.to(at::kInt) - expected.to(at::kInt)).abs().max().item<int64_t>();
    // Other inverse transforms and roundings of colours than libjpeg's.
    const int64_t allowed = name == "cmyk.jpg" ? 6 : name == "progressive.jpg" ? 3 : 0;
    EXPECT_LE(error, allowed) << name;
  }
}

TEST(ImageKinds, WebpIsListedAndADamagedOneSaid) {
  const auto folder = golden::folder() / "images";
  EXPECT_EQ(data::list_images((folder / "*.webp").string()).size(), 2u);
  const std::string bytes = data::read_file(folder / "lossless.webp");
  EXPECT_NE(refusal([&] {
              data::decode_pixels(bytes.substr(0, bytes.size() / 2), "a.webp");
            }).find("a.webp: not a readable image"),
            std::string::npos);
}

TEST(ImageKinds, ACutJpegIsSaidAndAWholeOneWithSomethingBehindItRead) {
  const auto folder = golden::folder() / "images";
  for (const char* name : {"progressive.jpg", "cmyk.jpg"}) {
    const std::string bytes = data::read_file(folder / name);
    EXPECT_NE(refusal([&] {
                data::decode_pixels(bytes.substr(0, bytes.size() - 40), "b.jpg");
              }).find("cut off"),
              std::string::npos);
    EXPECT_EQ(data::decode_pixels(bytes + std::string(100, 'x'), "b.jpg").size(0), 9);
  }
}

TEST(ImageKinds, OneByOneIsReadAndTwentyThousandPixelsAreRefused) {
  const at::Tensor dot = at::tensor({0.0, 0.4, 1.0}, at::kFloat).view({3, 1, 1});
  EXPECT_TRUE(at::allclose(data::decode_image(data::encode_png(dot), "dot.png"), dot, 0, 1e-6));
  const std::string wide = data::encode_png(at::zeros({3, 2, 20000}));
  const std::string said = refusal([&] { data::decode_pixels(wide, "wide.png"); });
  EXPECT_NE(said.find("wide.png"), std::string::npos) << said;
  EXPECT_NE(said.find("16384"), std::string::npos) << said;
}

TEST(ImageKinds, PixelsAreThoseOfTheImage) {
  const std::string bytes = data::read_file(golden::folder() / "images" / "alpha.png");
  const at::Tensor image = data::decode_image(bytes, "a.png");  // [3, H, W]
  EXPECT_TRUE(data::to_uint8(image).permute({1, 2, 0}).equal(data::decode_pixels(bytes, "a.png")));
}

}  // namespace
