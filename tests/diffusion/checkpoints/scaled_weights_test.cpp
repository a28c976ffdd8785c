#include "diffusion/checkpoints/scaled_weights.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include "tests/support/refusal.hpp"

namespace {

using data::Weights;

at::Tensor eights(std::vector<int64_t> shape) {
  auto generator = at::detail::createCPUGenerator(3);
  return at::randn(shape, generator).to(at::kFloat8_e4m3fn);
}

Weights scaled(const at::Tensor& weight, const std::string& name, const at::Tensor& scale) {
  Weights file;
  file.source = "here";
  file.tensors = {{"a.weight", weight}, {"a.bias", at::ones({4})}, {name, scale}};
  return file;
}

TEST(ScaledWeights, EveryScaleIsMultiplied) {
  const at::Tensor weight = eights({4, 6}), plain = weight.to(at::kFloat);
  const at::Tensor rows = at::tensor({1.f, 2.f, 3.f, 4.f}).view({4, 1});
  const at::Tensor blocks = at::arange(1, 9).to(at::kFloat).view({4, 2, 1});
  const auto expect = [&](const std::string& name, const at::Tensor& scale,
                          const at::Tensor& expected) {
    const Weights found = diffusion::dequantised(scaled(weight, name, scale));
    EXPECT_EQ(found.tensors.size(), 2u) << name;
    EXPECT_TRUE(at::equal(found.tensors.at("a.weight"), expected)) << name;
  };
  expect("a.scale_weight", at::full({}, 0.25f), plain * 0.25f);
  expect("a.weight_scale", at::full({1}, 3.f, at::kBFloat16), plain * 3);
  expect("a.scale_weight", rows, plain * rows);
  expect("a.scale_weight", blocks, (plain.view({4, 2, 3}) * blocks).view({4, 6}));
}

TEST(ScaledWeights, AllCodesOfTheTypeAreTheirNumbers) {
  const at::Tensor codes = at::arange(256).to(at::kByte);
  const at::Tensor values = codes.view(at::kFloat8_e4m3fn).to(at::kFloat);
  EXPECT_EQ(values[1].item<float>(), 0.001953125f);  // 2^-9
  EXPECT_EQ(values[0x7e].item<float>(), 448.f);
  EXPECT_EQ(values[0xb8].item<float>(), -1.f);
  EXPECT_TRUE(values[0x7f].isnan().item<bool>());
}

TEST(ScaledWeights, WhatAFileHasBesideThemIsLeftOut) {
  Weights file = scaled(eights({4, 6}), "a.scale_weight", at::full({}, 2.f));
  file.tensors["scaled_fp8"] = at::empty({0}, at::kFloat8_e4m3fn);
  file.tensors["a.scale_input"] = at::ones({1});
  const std::string format = R"({"format": "float8_e4m3fn"})";
  file.tensors["a.comfy_quant"] =
      at::tensor(std::vector<uint8_t>(format.begin(), format.end()), at::kByte);
  EXPECT_EQ(diffusion::dequantised(file).tensors.size(), 2u);
  EXPECT_TRUE(diffusion::stands_beside_weight("a.input_scale"));
  EXPECT_FALSE(diffusion::stands_beside_weight("norm.scale"));
  const Weights plain = scaled(at::ones({4, 6}), "b.weight", at::ones({2}));
  EXPECT_TRUE(
      diffusion::dequantised(plain).tensors.at("a.weight").is_same(plain.tensors.at("a.weight")));
  EXPECT_FALSE(diffusion::scale_of(plain, "a.weight").defined());
}

TEST(ScaledWeights, AnUnchangedValueKeepsItsCode) {
  const at::Tensor weight = eights({4, 6});
  const Weights file =
      scaled(weight, "a.scale_weight", at::tensor({.3f, .7f, 1.1f, 13.f}).view({4, 1}));
  const at::Tensor value = diffusion::dequantised(file).tensors.at("a.weight");
  const at::Tensor scale = diffusion::scale_of(file, "a.weight");
  const auto codes = [](const at::Tensor& x) { return x.view(at::kByte); };
  EXPECT_TRUE(at::equal(codes(diffusion::quantised(weight, value, scale)), codes(weight)));
  EXPECT_FALSE(at::equal(codes(diffusion::quantised(weight, 2 * value, scale)), codes(weight)));
}

TEST(ScaledWeights, OthersAreRefusedByTheirKind) {
  const auto expect = [](const Weights& file, const std::string& said) {
    const std::string line = refusal([&] { diffusion::dequantised(file); });
    EXPECT_NE(line.find(said), std::string::npos) << line;
  };
  expect(scaled(at::ones({4, 6}), "a.weight.quant_state.bitsandbytes__nf4", at::ones({1})),
         "bitsandbytes' NF4");
  expect(scaled(at::ones({4, 6}), "a.weight.quant_state.bitsandbytes__nf4", at::ones({1})),
         "take the file in bf16, fp16 or fp8");
  expect(scaled(eights({4, 6}), "a.weight_scale_2", at::ones({1})), "nvfp4");
  expect(scaled(at::ones({4, 6}), "a.scale_weight", at::ones({1})),
         "the scale of scaled fp8 beside a weight of another type");
  expect(scaled(eights({4, 6}), "a.scale_weight", at::ones({3})),
         "a.scale_weight: expected a scale");
  expect(scaled(eights({4, 6}), "a.scale_weight", at::ones({4, 4, 1})), "expected a scale");
  const std::string format = R"({"format": "int8_tensorwise"})";
  expect(scaled(eights({4, 6}), "a.comfy_quant",
                at::tensor(std::vector<uint8_t>(format.begin(), format.end()), at::kByte)),
         "int8_tensorwise");
}

}  // namespace
