#include "data/device/gpu_usage.hpp"

#include <gtest/gtest.h>

#include <filesystem>

namespace {

std::string imagined_driver() {
  const auto folder = std::filesystem::read_symlink("/proc/self/exe").parent_path();
  return (folder / "fake_driver" / "libcuda.so.1").string();
}

TEST(GpuUsage, IsWhatTheMonitorSaysOfTheCardAtThatPlaceOnTheBus) {
  const auto usage = data::gpu_usage(0, imagined_driver(), imagined_driver());
  ASSERT_TRUE(usage);
  EXPECT_EQ(usage->utilization, 0.75);
  EXPECT_EQ(usage->memory, 6.0 * (1ull << 30));
}

TEST(GpuUsage, IsNothingWithoutDriverMonitorOrCard) {
  EXPECT_FALSE(data::gpu_usage(0, "no-such-driver.so", imagined_driver()));
  EXPECT_FALSE(data::gpu_usage(0, imagined_driver(), "no-such-monitor.so"));
  EXPECT_FALSE(data::gpu_usage(1, imagined_driver(), imagined_driver()));
  EXPECT_FALSE(data::gpu_usage(0, "libz.so.1", imagined_driver()));  // lacks the functions
}

}  // namespace
