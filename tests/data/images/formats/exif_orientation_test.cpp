#include "data/images/formats/exif_orientation.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "data/base/csv.hpp"
#include "data/base/files.hpp"
#include "data/images/image_io.hpp"
#include "tests/support/refusal.hpp"

namespace {

// A TIFF block with an orientation, after the marker of a JPEG segment.
std::string exif(int orientation, bool big) {
  std::string block("Exif\0\0", 6);
  block += big ? std::string("MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0", 19)
               : std::string("II\x2a\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0", 18);
  block += static_cast<char>(orientation);
  return block.append(7, '\0');
}

std::string with_exif(const std::string& jpeg, const std::string& block) {
  const size_t length = block.size() + 2;
  return jpeg.substr(0, 2) + "\xFF\xE1" + static_cast<char>(length / 256) +
         static_cast<char>(length % 256) + block + jpeg.substr(2);
}

TEST(Upright, ReadsTheOrientationOfEitherByteOrder) {
  const std::string jpeg = data::encode_jpeg(at::rand({3, 8, 16}), 90);
  EXPECT_EQ(data::exif_orientation(jpeg), 1);
  for (const bool big : {true, false}) {
    for (int orientation = 1; orientation <= 8; ++orientation)
      EXPECT_EQ(data::exif_orientation(with_exif(jpeg, exif(orientation, big))), orientation);
    EXPECT_EQ(data::exif_orientation(with_exif(jpeg, exif(9, big))), 1);                // no such
    EXPECT_EQ(data::exif_orientation(with_exif(jpeg, exif(6, big).substr(0, 20))), 1);  // cut off
  }
  EXPECT_EQ(data::exif_orientation(""), 1);
}

// Filling before a marker is allowed (ITU T.81, B.1.1.2), and some cameras write the number as a
// LONG.
TEST(Upright, ReadsTheOrientationBehindFillingAndOfALongNumber) {
  const std::string jpeg = data::encode_jpeg(at::rand({3, 8, 16}), 90);
  std::string photograph = with_exif(jpeg, exif(6, false));
  std::string longer = photograph;
  longer[longer.find("\x12\x01\x03") + 2] = '\x04';
  EXPECT_EQ(data::exif_orientation(longer), 6);
  photograph.insert(2, 3, '\xFF');
  EXPECT_EQ(data::exif_orientation(photograph), 6);
}

// By hand, for the picture
//   0 1 2
//   3 4 5
TEST(Upright, TurnsAndMirrors) {
  const at::Tensor image = at::arange(6, at::kFloat).view({1, 2, 3}).expand({3, 2, 3});
  const std::vector<std::vector<float>> expected = {
      {0, 1, 2, 3, 4, 5}, {2, 1, 0, 5, 4, 3}, {5, 4, 3, 2, 1, 0}, {3, 4, 5, 0, 1, 2},
      {0, 3, 1, 4, 2, 5}, {3, 0, 4, 1, 5, 2}, {5, 2, 4, 1, 3, 0}, {2, 5, 1, 4, 0, 3}};
  for (int64_t i = 0; i < 8; ++i) {
    const at::Tensor got = data::upright(image, i + 1);
    EXPECT_EQ(got.size(1), i < 4 ? 2 : 3);
    EXPECT_TRUE(at::equal(got[0].flatten(), at::tensor(expected[static_cast<size_t>(i)]))) << i + 1;
  }
}

TEST(Upright, ReadsAPhotographAsItIsSeen) {
  const auto path = std::filesystem::path(testing::TempDir()) / "laurel_upright.jpg";
  at::Tensor image = at::zeros({3, 16, 32});
  image.slice(2, 0, 16).fill_(1);  // bright on the left
  data::write_file(path, with_exif(data::encode_jpeg(image, 95), exif(6, true)));
  const at::Tensor seen = data::read_image(path);  // turned clockwise: bright above
  ASSERT_EQ(seen.sizes(), (std::vector<int64_t>{3, 32, 16}));
  EXPECT_GT(seen.slice(1, 0, 14).min().item<double>(), 0.9);
  EXPECT_LT(seen.slice(1, 18, 32).max().item<double>(), 0.1);
}

TEST(Csv, ReadsQuotesCommasAndLineBreaks) {
  const auto lines = data::parse_csv(
      "\xEF\xBB\xBFimage,instruction\r\na.png,\"make it red, \"\"now\"\"\"\r\n\n"
      "b.png,\"two\nlines\"\nc.png,",
      "jobs.csv");
  ASSERT_EQ(lines.size(), 4u);
  EXPECT_EQ(lines[0].fields, (std::vector<std::string>{"image", "instruction"}));
  EXPECT_EQ(lines[1].fields, (std::vector<std::string>{"a.png", "make it red, \"now\""}));
  EXPECT_EQ(lines[2].fields[1], "two\nlines");
  EXPECT_EQ(lines[2].number, 4);
  EXPECT_EQ(lines[3].fields, (std::vector<std::string>{"c.png", ""}));
  EXPECT_EQ(lines[3].number, 6);
  EXPECT_EQ(refusal([] { data::parse_csv("a\n\"b", "x.csv"); }),
            "x.csv:2: a quote is not closed; add one");
}

TEST(Csv, OtherSignsThanCommasAreTold) {
  const auto fault = [](const char* text) {
    return refusal([&] { data::check_commas(data::parse_csv(text, "x.csv"), "x.csv"); });
  };
  EXPECT_EQ(fault("image;instruction\na.png;red\n"),
            "x.csv:1: expected commas between the fields, found semicolons; save the table with "
            "commas");
  EXPECT_NE(fault("image\tinstruction\n").find("found tabs"), std::string::npos);
  for (const char* fine : {"", "image\na.png\n", "image,instruction;\n"})
    EXPECT_EQ(fault(fine), "");
}

}  // namespace
