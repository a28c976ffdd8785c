#include "data/images/from_pixels.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace {

TEST(FromPixels, PutsChannelsFirst) {
  const at::Tensor pixels = at::arange(0, 240, 10).to(at::kByte).view({2, 2, 2, 3});
  const at::Tensor images = data::from_pixels(pixels);  // [2, 3, 2, 2]
  EXPECT_TRUE(images.is_contiguous());
  EXPECT_EQ(images.sizes(), (std::vector<int64_t>{2, 3, 2, 2}));
  EXPECT_FLOAT_EQ(images[1][2][0][1].item<float>(), 170.0f / 255);  // the 6th pixel's blue
  EXPECT_TRUE(at::equal(data::from_pixels(pixels[1]), images[1]));
  EXPECT_THROW(data::from_pixels(images), c10::Error);
}

}  // namespace
