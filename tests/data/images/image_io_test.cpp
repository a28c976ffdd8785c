#include "data/images/image_io.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <fstream>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/images/image_files.hpp"
#include "data/unicode/utf8.hpp"

namespace fs = std::filesystem;

namespace {

fs::path scratch(const std::string& name) {
  const fs::path folder = fs::path(testing::TempDir()) / "laurel_image_io";
  fs::create_directories(folder);
  return folder / name;
}

std::string from_hex(const std::string& hex) {
  std::string bytes;
  for (size_t i = 0; i < hex.size(); i += 2)
    bytes.push_back(static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  return bytes;
}

at::Tensor every_byte() {  // [3, 16, 16], each of the 256 values in each channel
  const at::Tensor ramp = at::arange(256).to(at::kFloat).div(255).view({16, 16});
  return at::stack({ramp, ramp.flip(0), ramp.t()});
}

std::string message_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const data::BadInput& error) {
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "no BadInput";
  return "";
}

// The chunk of these bytes, which begin with its type.
std::string chunk_of(const std::string& body) {
  const auto big = [](uint32_t value) {
    std::string bytes;
    for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(value >> shift & 0xFF);
    return bytes;
  };
  uint32_t crc = 0xFFFFFFFFu;
  for (const char byte : body) {
    crc ^= static_cast<uint8_t>(byte);
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 1) ? 0xEDB88320u ^ (crc >> 1) : crc >> 1;
  }
  return big(static_cast<uint32_t>(body.size() - 4)) + body + big(~crc);
}

// Written by Pillow: pixels (255, 0, 10), (1, 2, 3); tEXt `parameters` in Latin-1, compressed iTXt
// `b`, zTXt `c`.
const char* const kPillow =
    "89504e470d0a1a0a0000000d49484452000000020000000108020000007b40e8dd0000000f74455874706172616d65"
    "7465727300636166e929249c890000001169545874620001000000789c7bdeb31a00047b021fade0bb4e000000157a"
    "545874630000789cabca2c28484d51a8229502006a9e156140a8c6bd0000000f49444154789c63f8cfc0c5c8c40c00"
    "063301109030dd1b0000000049454e44ae426082";

// IDAT chunks may be empty, the first one too.
TEST(Images, EmptyDataOfAPngIsPassedOver) {
  const fs::path folder = scratch("empty");
  fs::create_directories(folder);
  const at::Tensor image = at::arange(3 * 4 * 5, at::kFloat).view({3, 4, 5}) / 60;
  data::write_png(folder / "a.png", image);
  const std::string png = data::read_file(folder / "a.png");
  const size_t at = png.find("IDAT") - 4;
  ASSERT_NE(at, std::string::npos - 4);
  const std::string empty = chunk_of("IDAT");
  data::write_file(folder / "b.png", png.substr(0, at) + empty + empty + png.substr(at));
  EXPECT_TRUE(at::equal(data::read_image(folder / "a.png"), data::read_image(folder / "b.png")));
  data::write_file(folder / "c.png", png.substr(0, at) + empty + chunk_of("IEND"));
  EXPECT_NE(
      message_of([&] { data::read_image(folder / "c.png"); }).find("c.png: not a readable image"),
      std::string::npos);
}

TEST(Text, Utf8IsChecked) {
  EXPECT_TRUE(data::is_utf8("plain, caf\xC3\xA9, \xE7\x8C\xAB, \xF0\x9F\x90\x88"));
  for (const char* bad : {"\xC3", "\x80", "\xC0\xAF", "\xED\xA0\x80", "\xF4\x90\x80\x80",
                          "\xE0\x80\xAF", "caf\xE9 x"}) {
    EXPECT_FALSE(data::is_utf8(bad)) << bad;
  }
}

TEST(Text, Latin1GoesBothWays) {
  EXPECT_EQ(data::to_latin1("caf\xC3\xA9").value(), "caf\xE9");
  EXPECT_EQ(data::from_latin1("caf\xE9"), "caf\xC3\xA9");
  EXPECT_FALSE(data::to_latin1("\xE7\x8C\xAB").has_value());
}

TEST(ImageIo, PngRoundTripKeepsEveryByte) {
  data::write_png(scratch("round.png"), every_byte());
  EXPECT_TRUE(at::equal(data::read_image(scratch("round.png")), every_byte()));
}

TEST(ImageIo, PillowsPngIsReadWithItsTexts) {
  data::write_file(scratch("pillow.png"), from_hex(kPillow));
  const at::Tensor expected =
      at::tensor({255, 1, 0, 2, 10, 3}).to(at::kFloat).div(255).view({3, 1, 2});
  EXPECT_TRUE(at::equal(data::read_image(scratch("pillow.png")), expected));
  const data::PngText text = data::read_png_text(scratch("pillow.png"));
  EXPECT_EQ(text.at("parameters"), "caf\xC3\xA9");
  EXPECT_EQ(text.at("b"), "\xE7\x8C\xAB");
  EXPECT_EQ(text.at("c"), "zipped zipped zipped zipped zipped zipped zipped zipped ");
}

TEST(ImageIo, TextChunkHasTheRightChecksum) {
  data::write_png(scratch("text.png"), every_byte(), {{"parameters", "a cat"}});
  const std::string expected =
      std::string("\0\0\0\x10tEXtparameters\0a cat", 24) + from_hex("bddef920");
  EXPECT_EQ(data::read_file(scratch("text.png")).substr(33, 28), expected);
}

TEST(ImageIo, TextsRoundTripInAnyScript) {
  const data::PngText text{{"parameters", "a cat\nSteps: 5"},
                           {"latin", "caf\xC3\xA9"},
                           {"wide", "\xE7\x8C\xAB"},
                           {"none", ""}};
  data::write_png(scratch("texts.png"), every_byte(), text);
  EXPECT_EQ(data::read_png_text(scratch("texts.png")), text);
  EXPECT_TRUE(at::equal(data::read_image(scratch("texts.png")), every_byte()));
}

TEST(ImageIo, TextIsReplacedAndTheRestKept) {
  data::write_png(scratch("update.png"), every_byte(), {{"parameters", "old"}, {"other", "kept"}});
  data::update_png_text(scratch("update.png"), {{"parameters", "new"}});
  EXPECT_EQ(data::read_png_text(scratch("update.png")),
            (data::PngText{{"parameters", "new"}, {"other", "kept"}}));
  EXPECT_TRUE(at::equal(data::read_image(scratch("update.png")), every_byte()));
}

TEST(ImageIo, JpegSizeGrowsWithQualityAndDetail) {
  at::Generator generator = at::detail::createCPUGenerator(1);
  const at::Tensor noise = at::rand({3, 64, 64}, generator), flat = at::full({3, 64, 64}, 0.5);
  EXPECT_GT(data::encode_jpeg(noise, 90).size(), data::encode_jpeg(noise, 30).size());
  EXPECT_GT(data::encode_jpeg(noise, 90).size(), 5 * data::encode_jpeg(flat, 90).size());
  const at::Tensor back = data::decode_image(data::encode_jpeg(flat, 95), "memory");
  EXPECT_LT((back - flat).abs().max().item<float>(), 0.01);
  EXPECT_THROW(data::encode_jpeg(flat, 0), c10::Error);
}

TEST(ImageIo, RoundsToTheNearestByte) {
  const at::Tensor values = at::tensor({-1.0f, 0.0f, 0.49f / 255, 0.51f / 255, 1.0f, 7.0f, NAN});
  EXPECT_TRUE(at::equal(data::to_uint8(values).to(at::kLong),
                        at::tensor({0, 0, 0, 1, 255, 255, 0}).to(at::kLong)));
  EXPECT_TRUE(at::equal(data::to_uint8(data::from_uint8(at::arange(256).to(at::kByte))),
                        at::arange(256).to(at::kByte)));
}

TEST(ImageIo, ResizeByAreaAverages) {
  const at::Tensor image = at::tensor({0.0f, 1.0f, 0.25f, 0.75f}).view({1, 2, 2}).expand({3, 2, 2});
  EXPECT_TRUE(
      at::allclose(data::resize(image, 1, 1, data::ResizeKind::kArea), at::full({3, 1, 1}, 0.5)));
}

TEST(ImageIo, ResizeKeepsAFlatImageAndTheRange) {
  for (const auto kind :
       {data::ResizeKind::kBicubic, data::ResizeKind::kArea, data::ResizeKind::kLanczos}) {
    const at::Tensor flat = data::resize(at::full({3, 9, 7}, 0.3), 20, 5, kind);
    EXPECT_EQ(flat.sizes(), at::IntArrayRef({3, 20, 5}));
    EXPECT_TRUE(at::allclose(flat, at::full({3, 20, 5}, 0.3), 1e-5, 1e-6));
    const at::Tensor sharp = data::resize((every_byte() > 0.5).to(at::kFloat), 40, 40, kind);
    EXPECT_GE(sharp.min().item<float>(), 0);
    EXPECT_LE(sharp.max().item<float>(), 1);
  }
  EXPECT_THROW(data::resize(at::zeros({2, 4, 4}), 2, 2, data::ResizeKind::kArea), c10::Error);
}

TEST(ImageIo, BadFilesAreNamedInOneLine) {
  data::write_file(scratch("words.png"), "not an image");
  EXPECT_NE(message_of([] { data::read_image(scratch("words.png")); }).find("words.png"),
            std::string::npos);
  data::write_file(scratch("cut.png"), from_hex(kPillow).substr(0, 150));
  EXPECT_NE(message_of([] { data::read_image(scratch("cut.png")); }).find("not a readable image"),
            std::string::npos);
  EXPECT_NE(message_of([] { data::read_png_text(scratch("cut.png")); }).find("truncated PNG"),
            std::string::npos);
  EXPECT_NE(message_of([] { data::read_image(scratch("absent.png")); }).find("no such file"),
            std::string::npos);
  data::write_file(scratch("empty.png"), "");
  EXPECT_NE(message_of([] { data::read_image(scratch("empty.png")); }).find("not a readable image"),
            std::string::npos);
}

TEST(ImageIo, HugeImagesAreRefusedBeforeTheyAreDecoded) {
  std::string png = from_hex(kPillow);
  for (const char* size :
       {"0000800000008000", "0000480000000800"}) {  // 32768 x 32768, 18432 x 2048
    png.replace(16, 8, from_hex(size));
    EXPECT_NE(message_of([&] { data::decode_image(png, "huge.png"); }).find("too large"),
              std::string::npos);
  }
}

TEST(ImageIo, ChangedTextChunkIsNoticed) {
  std::string png = from_hex(kPillow);
  png[png.find("parameters") + 12] ^= 1;
  EXPECT_NE(message_of([&] { data::png_text_of(png, "p.png"); }).find("checksum"),
            std::string::npos);
}

TEST(ImageIo, ListsFoldersFilesAndPatterns) {
  const fs::path folder = scratch("list");
  fs::remove_all(folder);
  for (const char* name : {"b.png", "a.JPG", "c.txt"}) data::write_file(folder / name, "x");
  fs::create_directories(folder / "d.png");
  const auto all = data::list_images(folder.string());
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].filename(), "a.JPG");
  EXPECT_EQ(data::list_images((folder / "*.png").string()),
            std::vector<fs::path>{folder / "b.png"});
  EXPECT_EQ(data::list_images((folder / "b.png").string()),
            std::vector<fs::path>{folder / "b.png"});
  const std::vector<std::string> places{(folder / "b.png").string(), folder.string()};
  EXPECT_EQ(data::list_images(places), (std::vector<fs::path>{folder / "b.png", all[0], all[1]}));
  EXPECT_NE(message_of([&] { data::list_images((folder / "no*").string()); }).find("pattern"),
            std::string::npos);
  EXPECT_NE(message_of([&] { data::list_images((folder / "d.png").string()); }).find("no images"),
            std::string::npos);
  EXPECT_NE(message_of([&] { data::list_images((folder / "no").string()); }).find("no such"),
            std::string::npos);
}

TEST(ImageIo, FoldersInsideAreReadWhereAskedFor) {
  const fs::path folder = scratch("deep");
  fs::remove_all(folder);
  for (const char* name : {"b/c/d.png", "a.png", ".git/e.png", "b/._f.png"})
    data::write_file(folder / name, "x");
  fs::create_directory_symlink(folder, folder / "b/around");
  EXPECT_EQ(data::list_images(folder.string(), data::Folders::kRecursive),
            (std::vector<fs::path>{folder / "a.png", folder / "b/c/d.png"}));
  EXPECT_EQ(data::list_images(folder.string()), std::vector<fs::path>{folder / "a.png"});
  EXPECT_NE(message_of([&] {
              data::list_images((folder / "b").string());
            }).find("folders inside it hold some"),
            std::string::npos);
}

TEST(ImageIo, PicturesOfOtherKindsAreListedAndNamed) {
  const fs::path folder = scratch("others");
  fs::remove_all(folder);
  const std::vector<std::pair<std::string, std::string>> files = {
      {"a.heic", std::string("\0\0\0\x18", 4) + "ftypheic"},
      {"b.TIF", std::string("II*\0\x08\0\0\0", 8)},
      {"c.avif", std::string("\0\0\0\x1c", 4) + "ftypavif"},
      {"d.jxl", "\xff\x0a\x01"},
      {"e.jp2", std::string("\0\0\0\x0cjP  ", 8)}};
  for (const auto& [name, bytes] : files) data::write_file(folder / name, bytes);
  EXPECT_EQ(data::list_images(folder.string()).size(), files.size());
  const std::vector<std::string> kinds = {"HEIC", "TIFF", "AVIF", "JPEG XL", "JPEG 2000"};
  for (size_t i = 0; i < files.size(); ++i) {
    const fs::path file = folder / files[i].first;
    EXPECT_EQ(message_of([&] { data::read_image(file); }),
              file.string() +
                  ": not a readable image: expected PNG, JPEG, WebP, BMP, GIF, TGA or PSD, found " +
                  kinds[i] + "; convert it first, to PNG or JPEG");
  }
}

// A PNG within a longer file keeps its text, and what follows it stays where it is.
TEST(PngText, IsReadAndWrittenAheadOfForeignBytes) {
  const std::string png = data::with_png_text(data::encode_png(every_byte()), {{"a", "one"}}, "p");
  const std::string longer = png + "of a longer file ...";
  EXPECT_EQ(data::png_text_of(longer, "p").at("a"), "one");
  const std::string changed = data::with_png_text(longer, {{"a", "two"}}, "p");
  EXPECT_TRUE(changed.ends_with("of a longer file ..."));
  EXPECT_EQ(data::png_text_of(changed, "p").at("a"), "two");
  EXPECT_TRUE(at::equal(data::decode_image(changed, "p"), every_byte()));
}

// A zTXt chunk as Pillow writes it, of 9 MB of one letter (zlib's deflate makes 9 kB of them).
TEST(PngText, InflatesToACap) {
  const std::string png = data::encode_png(at::zeros({3, 1, 1}));
  const std::string picture = data::encode_png(at::zeros({3, 1750, 1750}));  // deflated zeros
  const size_t idat = picture.find("IDAT");
  const auto number = [&](size_t at) {
    uint32_t value = 0;
    for (size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<uint8_t>(picture[at + i]);
    return value;
  };
  const std::string deflated = picture.substr(idat + 4, number(idat - 4));
  const std::string body = "zTXtparameters" + std::string(2, '\0') + deflated;
  EXPECT_NE(message_of([&] {
              data::png_text_of(png.substr(0, 33) + chunk_of(body) + png.substr(33), "bomb.png");
            }).find("more than 8 MB"),
            std::string::npos);
}

}  // namespace
