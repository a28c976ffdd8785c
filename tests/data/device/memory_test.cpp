#include "data/device/memory.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "data/base/error.hpp"

TEST(PeakTensorBytes, CountsWhatIsHeldAtOnce) {
  EXPECT_EQ(data::peak_tensor_bytes([] {
              for (int i = 0; i < 3; ++i) at::empty({256}, at::kFloat);
            }),
            1024);
  EXPECT_EQ(data::peak_tensor_bytes([] {
              const at::Tensor a = at::empty({256}, at::kFloat), b = at::empty({256}, at::kDouble);
            }),
            1024 + 2048);
}

TEST(PeakTensorBytes, CountsTheBackwardPass) {
  const at::Tensor x = at::ones({1000}, at::kFloat).requires_grad_(true);
  const int64_t peak = data::peak_tensor_bytes([&] { (x.exp() * x).sum().backward(); });
  EXPECT_GE(peak, 3 * 4000);  // two values and a gradient
  EXPECT_LE(peak, 6 * 4000);
}

TEST(PeakMetaBytes, CountsWhatWouldBeHeldAtOnce) {
  const auto meta = at::TensorOptions().device(at::kMeta);
  at::Tensor kept;
  EXPECT_EQ(data::peak_meta_bytes([&] {
              for (int i = 0; i < 3; ++i) at::empty({256}, meta);
              kept = at::empty({100}, meta.dtype(at::kDouble));
              at::empty({1'000'000'000'000}, meta);  // which no machine holds
            }),
            800 + 4'000'000'000'000);
  kept.reset();
  EXPECT_EQ(data::peak_meta_bytes([&] { (at::empty({10}, meta) + 1).add_(2); }), 80);
  EXPECT_THROW(data::peak_meta_bytes([] { throw std::runtime_error("x"); }), std::runtime_error);
  EXPECT_EQ(data::peak_meta_bytes([] {}), 0);
}

TEST(PeakMemory, IsAtLeastWhatIsResident) {
  EXPECT_GT(data::resident_memory(), 1e7);
  EXPECT_GE(data::peak_memory(), data::resident_memory());
  EXPECT_GT(data::resident_memory(getpid()), 1e7);
  EXPECT_EQ(data::resident_memory(-1), 0);  // no process has this number
}

TEST(AvailableMemory, IsSomeOfTheMachines) {
  EXPECT_GT(data::available_memory(), 1e6);
  EXPECT_LT(data::available_memory(), 1e15);
}

TEST(PeakMemory, StartsAnew) {
  { const at::Tensor large = at::ones({25'000'000}, at::kFloat); }  // 100 MB
  const double before = data::peak_memory();
  if (!data::reset_peak_memory()) GTEST_SKIP() << "the kernel does not reset the peak";
  EXPECT_LT(data::peak_memory(), before);
}

TEST(ParseBytes, KnowsTheUnits) {
  EXPECT_EQ(data::parse_bytes("12GB", "max_memory"), 12e9);
  EXPECT_EQ(data::parse_bytes("12 gb", "max_memory"), 12e9);
  EXPECT_EQ(data::parse_bytes("1.5G", "max_memory"), 1.5e9);
  EXPECT_EQ(data::parse_bytes("2GiB", "max_memory"), 2147483648.0);
  EXPECT_EQ(data::parse_bytes("1000", "max_memory"), 1000);
}

TEST(ParseBytes, RefusesNonsense) {
  for (const char* text :
       {"", "GB", "12 apples", "-3GB", "0", "0GB", "1e999", "nan", "12GB12", "GB12"}) {
    EXPECT_THROW(data::parse_bytes(text, "max_memory"), data::BadInput) << text;
  }
}

TEST(BytesText, ByHand) {
  EXPECT_EQ(data::bytes_text(12.3e9), "12.30 GB");
  EXPECT_EQ(data::bytes_text(8e8), "800.0 MB");
}
