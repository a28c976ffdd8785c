#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "data/error.hpp"
#include "tools/device.hpp"

namespace {

std::string message_of(const tools::DeviceConfig& config) {
  try {
    tools::open_device(config);
  } catch (const data::BadInput& error) {
    return error.what();
  }
  return "";
}

TEST(Device, CpuIsWhatWasAskedFor) {
  const auto placement = tools::open_device({.device = "cpu"});
  EXPECT_TRUE(placement.device.is_cpu());
  EXPECT_EQ(placement.compute, at::kFloat);
}

TEST(Device, CudaWithoutAGpuSaysWhatToDo) {
  const auto probe = tools::probe_gpu();
  if (probe.problem.empty()) GTEST_SKIP() << "this machine has a GPU";
  const std::string message = message_of({.device = "cuda"});
  EXPECT_NE(message.find("--device cuda"), std::string::npos);
  EXPECT_NE(message.find("--device cpu"), std::string::npos) << message;
  EXPECT_EQ(message.find('\n'), std::string::npos);
  EXPECT_TRUE(tools::open_device({.device = "auto"}).device.is_cpu());
}

TEST(Device, GpuComputesTheSameProduct) {
  if (!tools::probe_gpu().problem.empty()) GTEST_SKIP() << tools::probe_gpu().problem;
  const auto placement = tools::open_device({.device = "cuda"});
  const auto a = at::arange(12, at::kFloat).reshape({3, 4});
  const auto product = a.to(placement.device).mm(a.t().to(placement.device)).cpu();
  EXPECT_TRUE(at::allclose(product, a.mm(a.t())));
}

TEST(Device, UnknownWordsAreRefused) {
  EXPECT_NE(message_of({.device = "tpu"}).find("'tpu'"), std::string::npos);
  EXPECT_NE(message_of({.device = "cpu", .precision = "fp8"}).find("'fp8'"), std::string::npos);
  EXPECT_NE(message_of({.device = "cpu", .precision = "fp16"}).find("fp32"), std::string::npos);
}

TEST(PrecisionScope, RunsProductsInItsTypeWhileItLives) {
  const auto a = at::rand({4, 4});
  {
    const tools::PrecisionScope scope({.device = at::kCPU, .compute = at::kBFloat16});
    EXPECT_EQ(at::mm(a, a).scalar_type(), at::kBFloat16);
  }
  EXPECT_EQ(at::mm(a, a).scalar_type(), at::kFloat);
  const tools::PrecisionScope none({.device = at::kCPU, .compute = at::kFloat});
  EXPECT_EQ(at::mm(a, a).scalar_type(), at::kFloat);
}

}  // namespace
