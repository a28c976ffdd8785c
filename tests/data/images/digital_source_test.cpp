#include "data/images/digital_source.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "data/base/files.hpp"
#include "data/images/image_io.hpp"
#include "tests/support/fresh_folder.hpp"

namespace {

TEST(DigitalSource, IsReadBackFromAPng) {
  const auto file = tests::fresh_folder() / "a.png";
  for (const auto& [mark, word] :
       {std::pair{data::generated_mark(), "trainedAlgorithmicMedia"},
        std::pair{data::edited_mark(), "compositeWithTrainedAlgorithmicMedia"}}) {
    data::write_png(file, at::full({3, 4, 4}, 0.5), mark);
    EXPECT_EQ(data::digital_source_type(data::read_file(file)), word);
    EXPECT_EQ(data::read_image(file).size(1), 4);
  }
}

// XMP specification part 3, 1.1.5: the packet of a PNG is an iTXt chunk that is not compressed.
TEST(DigitalSource, IsAnITxtChunk) {
  const std::string png =
      data::with_png_text(data::encode_png(at::zeros({3, 1, 1})), data::generated_mark(), "a.png");
  EXPECT_NE(png.find(std::string("iTXtXML:com.adobe.xmp\0\0\0\0\0<?xpacket", 35)), png.npos);
}

TEST(DigitalSource, IsFoundInOtherWriters) {
  EXPECT_EQ(data::digital_source_type(
                "\xFF\xD8\xFF\xE1 http://ns.adobe.com/xap/1.0/ <x:xmpmeta a='b'><Iptc4xmpExt:"
                "DigitalSourceType>http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture<"
                "/Iptc4xmpExt:DigitalSourceType></x:xmpmeta>"),
            "digitalCapture");
}

TEST(DigitalSource, IsEmptyWhereNoneIsNamed) {
  EXPECT_EQ(data::digital_source_type(""), "");
  EXPECT_EQ(data::digital_source_type(data::encode_png(at::zeros({3, 1, 1}))), "");
  EXPECT_EQ(data::digital_source_type("<x:xmpmeta>DigitalSourceType"), "");
  EXPECT_EQ(data::digital_source_type("<x:xmpmeta></x:xmpmeta>DigitalSourceType=\"http://cv.iptc."
                                      "org/newscodes/digitalsourcetype/x"),
            "");
}

}  // namespace
