// The kinds of images that folders hold, beside Pillow.

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "data/base/files.hpp"
#include "data/images/image_files.hpp"
#include "data/images/image_io.hpp"
#include "data/weights/safetensors.hpp"
#include "tests/support/golden.hpp"
#include "tests/support/refusal.hpp"

namespace {

const std::filesystem::path kFolder = golden::folder() / "images";

std::string golden_bytes(const std::string& name) { return data::read_file(kFolder / name); }

// A number of `count` bytes, the least first.
std::string little(uint32_t value, int count) {
  std::string bytes;
  for (int i = 0; i < count; ++i) bytes += static_cast<char>(value >> (8 * i) & 0xFF);
  return bytes;
}

TEST(ImageKinds, AreReadAsPillowReadsThem) {
  const auto golden = data::read_safetensors(kFolder / "pixels.safetensors");
  EXPECT_EQ(golden.tensors.size(), 22u);
  for (const auto& [name, expected] : golden.tensors) {
    const at::Tensor found = data::decode_pixels(golden_bytes(name), name);
    ASSERT_EQ(found.sizes(), expected.sizes()) << name;
    const int64_t error = (found.to(at::kInt) - expected.to(at::kInt)).abs().max().item<int64_t>();
    EXPECT_EQ(error, 0) << name;
  }
}

TEST(ImageKinds, WebpIsListedAndADamagedOneSaid) {
  EXPECT_EQ(data::list_images((kFolder / "*.webp").string()).size(), 3u);
  for (const char* name : {"lossless.webp", "moving.webp"}) {
    const std::string bytes = golden_bytes(name);
    EXPECT_NE(refusal([&] {
                data::decode_pixels(bytes.substr(0, bytes.size() / 4), "a.webp");
              }).find("a.webp: not a readable image"),
              std::string::npos)
        << name;
  }
}

// Every kind whose decoder would go on with grey, black or what its memory held before.
TEST(ImageKinds, WhatIsCutOffIsSaidAndWhatIsWholeWithSomethingBehindItRead) {
  for (const char* name : {"progressive.jpg", "cmyk.jpg", "chroma_420.jpg", "plain.bmp",
                           "palette.bmp", "plain.tga", "runs.tga", "moving.gif", "palette.png"}) {
    const std::string bytes = golden_bytes(name);
    const auto whole = data::decode_pixels(bytes, name);
    for (const size_t kept : {bytes.size() * 2 / 3, bytes.size() * 9 / 10}) {
      if (std::string(name) == "moving.gif" && kept > bytes.size() / 2) continue;  // its second
      EXPECT_NE(refusal([&] { data::decode_pixels(bytes.substr(0, kept), name); }).find("cut off"),
                std::string::npos)
          << name << " " << kept;
    }
    EXPECT_TRUE(at::equal(data::decode_pixels(bytes + std::string(100, 'x'), name), whole)) << name;
  }
  const std::string gif = golden_bytes("moving.gif");
  EXPECT_NE(refusal([&] { data::decode_pixels(gif.substr(0, 300), "a.gif"); }).find("cut off"),
            std::string::npos);
}

// Two by two in 8 bits, raw: red, then green, then blue.
TEST(ImageKinds, APsdByHandIsReadAndRefusedWhenItIsCut) {
  const std::string zero(1, '\0');
  const auto big = [](uint32_t value, int count) {
    const std::string bytes = little(value, count);
    return std::string(bytes.rbegin(), bytes.rend());
  };
  const std::string head = "8BPS" + big(1, 2) + std::string(6, '\0') + big(3, 2) + big(2, 4) +
                           big(2, 4) + big(8, 2) + big(3, 2) + big(0, 4) + big(0, 4) + big(0, 4);
  const std::string raw = head + big(0, 2) + "abcdefghijkl";
  const at::Tensor expected =
      at::tensor({'a', 'e', 'i', 'b', 'f', 'j', 'c', 'g', 'k', 'd', 'h', 'l'}, at::kByte);
  EXPECT_TRUE(at::equal(data::decode_pixels(raw, "a.psd").flatten(), expected));
  std::string packed = head + big(1, 2);
  for (int row = 0; row < 6; ++row) packed += big(3, 2);
  for (const char* pair : {"ab", "cd", "ef", "gh", "ij", "kl"})
    packed += "\x01" + std::string(pair);
  EXPECT_TRUE(at::equal(data::decode_pixels(packed, "a.psd").flatten(), expected));
  for (const std::string& bytes : {raw, packed}) {
    EXPECT_NE(refusal([&] {
                data::decode_pixels(bytes.substr(0, bytes.size() - 1), "a.psd");
              }).find("cut off"),
              std::string::npos);
  }
}

TEST(ImageKinds, OnesThatMeanHarmAreRefused) {
  // A JPEG of more Huffman codes than there can be.
  const std::string table = std::string("\xFF\xC4\x01\x13\0", 5) + std::string(16, '\xFF');
  EXPECT_NE(refusal([&] {
              data::decode_pixels("\xFF\xD8" + table + std::string(256, '\x01') + "\xFF\xD9",
                                  "a.jpg");
            }).find("a.jpg: not a readable image"),
            std::string::npos);
  // A few bytes that ask for 2^27 pixels.
  std::string jpeg = golden_bytes("progressive.jpg");
  const size_t frame = jpeg.find("\xFF\xC2");
  jpeg.replace(frame + 5, 4, std::string("\x20\0\x40\0", 4));
  EXPECT_NE(refusal([&] { data::image_size(jpeg, "a.jpg"); }).find("too short for its size"),
            std::string::npos);
  // PIC's mark, whose reader is not compiled in.
  EXPECT_NE(refusal([&] {
              data::decode_pixels("\x53\x80\xF6\x34" + std::string(252, '\0'), "a.png");
            }).find("a.png: not a readable image"),
            std::string::npos);
  // A width below zero.
  std::string bmp = golden_bytes("plain.bmp");
  bmp.replace(18, 4, "\x28\xFF\xFF\xFF");
  EXPECT_NE(refusal([&] { data::image_size(bmp, "a.bmp"); }).find("its header gives it no size"),
            std::string::npos);
  EXPECT_THROW(data::decode_pixels(bmp, "a.bmp"), data::BadInput);
  // Eight by eight pixels whose data inflate to 64 MB.
  std::string png = data::encode_png(at::zeros({3, 2500, 3000}));
  png[19] = 8, png[23] = 8, png[18] = 0, png[22] = 0;  // the header's width and height
  EXPECT_NE(refusal([&] { data::decode_pixels(png, "a.png"); }).find("a.png"), std::string::npos);
}

// One bit of the pixels' data: stb_image does not look at checksums.
TEST(ImageKinds, APngOfChangedPixelsIsRefused) {
  std::string png = data::encode_png(at::rand({3, 16, 16}));
  const size_t middle = png.find("IDAT") + 300;
  int refused = 0;
  for (size_t at = middle; at < middle + 50; ++at) {
    png[at] = static_cast<char>(png[at] ^ 1);
    refused += refusal([&] { data::decode_pixels(png, "a.png"); }).empty() ? 0 : 1;
    png[at] = static_cast<char>(png[at] ^ 1);
  }
  EXPECT_EQ(refused, 50);
  EXPECT_EQ(data::decode_pixels(png, "a.png").size(0), 16);
}

// Scans of the first coefficient of a progressive picture, over and over.
TEST(ImageKinds, AJpegOfManyScansIsRefused) {
  std::string jpeg = golden_bytes("progressive.jpg");
  const size_t scan = jpeg.find("\xFF\xDA");
  const size_t next = jpeg.find("\xFF\xC4", scan);
  ASSERT_NE(next, std::string::npos);
  const std::string first = jpeg.substr(scan, next - scan);
  std::string many = jpeg.substr(0, scan);
  for (int i = 0; i < 120; ++i) many += first;
  const std::string said = refusal([&] { data::decode_pixels(many + "\xFF\xD9", "b.jpg"); });
  EXPECT_NE(said.find("more than 100 scans"), std::string::npos) << said;
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
