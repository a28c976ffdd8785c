#include "data/weights/safetensors.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <limits>
#include <sstream>

#include "data/base/error.hpp"
#include "data/base/files.hpp"

namespace {

std::filesystem::path scratch(const std::string& name) {
  return std::filesystem::path(testing::TempDir()) / ("laurel_safetensors_" + name);
}

// A file from a JSON header and data bytes.
std::filesystem::path hand_made(const std::string& name,
                                const std::string& header,
                                const std::string& bytes) {
  const uint64_t size = header.size();
  const auto path = scratch(name);
  data::write_file(path, std::string(reinterpret_cast<const char*>(&size), 8) + header + bytes);
  return path;
}

TEST(Safetensors, HandMadeFileIsRead) {
  const float values[2] = {1.5f, -2.0f};
  const auto path = hand_made(
      "hand", R"({"__metadata__":{"a":"b"},"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})",
      std::string(reinterpret_cast<const char*>(values), 8));
  const auto weights = data::read_safetensors(path);
  EXPECT_EQ(weights.metadata.at("a"), "b");
  EXPECT_TRUE(at::equal(weights.tensors.at("x"), at::tensor({1.5f, -2.0f})));
}

TEST(Safetensors, RoundTripKeepsEveryDtypeAndBit) {
  data::Weights weights;
  weights.metadata["format"] = "pt";
  weights.tensors["half"] = at::randn({3, 5}).to(at::kHalf);
  weights.tensors["bfloat"] = at::randn({7}).to(at::kBFloat16);
  weights.tensors["byte"] = at::arange(3).to(at::kByte);
  weights.tensors["empty"] = at::empty({0, 4});
  weights.tensors["transposed"] = at::randn({4, 6}).t();
  data::write_safetensors(scratch("round"), weights);
  const auto back = data::read_safetensors(scratch("round"));
  ASSERT_EQ(back.tensors.size(), weights.tensors.size());
  for (const auto& [name, tensor] : weights.tensors)
    EXPECT_TRUE(at::equal(back.tensors.at(name), tensor)) << name;
  data::write_safetensors(scratch("again"), back);
  EXPECT_EQ(data::read_file(scratch("round")), data::read_file(scratch("again")));
}

// What a network does not need stands in no one's way, and what it needs is named.
TEST(Safetensors, TensorsOfOtherTypesAreReadOrTheirBytesKept) {
  const auto path =
      hand_made("types",
                R"({"__metadata__":null,"f":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
                R"("n":{"dtype":"U64","shape":[],"data_offsets":[4,12]},)"
                R"("s":{"dtype":"F8_E8M0","shape":[2],"data_offsets":[12,14]},)"
                R"("q":{"dtype":"F4","shape":[4],"data_offsets":[14,16]}})",
                std::string("\0\0\xC0\x3F\x07\0\0\0\0\0\0\0\x7F\x80zz", 16));
  const auto weights = data::read_safetensors(path);
  EXPECT_TRUE(weights.metadata.empty());
  EXPECT_EQ(data::take(weights, "f", {1}).item<double>(), 1.5);
  EXPECT_EQ(weights.tensors.at("n").scalar_type(), at::kUInt64);
  EXPECT_EQ(*static_cast<const uint64_t*>(weights.tensors.at("n").const_data_ptr()), 7u);
  EXPECT_EQ(weights.tensors.at("s").scalar_type(), at::kFloat8_e8m0fnu);
  EXPECT_EQ(weights.tensors.at("q").sizes(), (std::vector<int64_t>{2}));
  try {
    data::take(weights, "q", {4});
    ADD_FAILURE();
  } catch (const data::BadInput& error) {
    EXPECT_NE(std::string(error.what()).find("tensor q: expected a floating-point type"),
              std::string::npos);
  }
}

struct BadCase {
  const char* name;
  const char* header;
  size_t bytes;
  const char* expected;
};
const BadCase kBadCases[] = {
    {"overlap",
     R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}})",
     6, "overlaps"},
    {"gap", R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}})", 4, "unused bytes"},
    {"outside", R"({"a":{"dtype":"U8","shape":[9],"data_offsets":[0,9]}})", 4, "ends at byte"},
    {"trailing", R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})", 4, "unused bytes"},
    {"size", R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,2]}})", 2, "expected 8 bytes"},
    {"negative", R"({"a":{"dtype":"U8","shape":[-2],"data_offsets":[0,2]}})", 2,
     "expected a whole number, found -2"},
    {"fraction", R"({"a":{"dtype":"U8","shape":[2.5],"data_offsets":[0,2]}})", 2, "found 2.5"},
    {"huge", R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,1e300]}})", 2, "found 1e+300"},
    {"product", R"({"a":{"dtype":"F32","shape":[0,4611686018427387904,8],"data_offsets":[0,0]}})",
     0, "impossible shape"},
    {"not_json", "{oops", 0, "not a JSON object"},
    {"fields", R"({"a":{"dtype":"U8"}})", 0, "expected dtype"},
};

TEST(Safetensors, DamagedFilesAreRefusedInOneLine) {
  for (const auto& bad : kBadCases) {
    const auto path = hand_made(bad.name, bad.header, std::string(bad.bytes, '\0'));
    try {
      data::read_safetensors(path);
      ADD_FAILURE() << bad.name << " was accepted";
    } catch (const data::BadInput& error) {
      const std::string text = error.what();
      EXPECT_NE(text.find(bad.expected), std::string::npos) << text;
      EXPECT_NE(text.find(path.string()), std::string::npos) << text;
      EXPECT_EQ(text.find('\n'), std::string::npos) << text;
    }
  }
}

TEST(Safetensors, TruncatedOversizedAndMissingFilesAreRefused) {
  data::write_file(scratch("short"), "abc");
  EXPECT_THROW(data::read_safetensors(scratch("short")), data::BadInput);
  const uint64_t huge = 1'000'000'000'000;
  data::write_file(scratch("huge"), std::string(reinterpret_cast<const char*>(&huge), 8) + "{}");
  EXPECT_THROW(data::read_safetensors(scratch("huge")), data::BadInput);
  EXPECT_THROW(data::read_safetensors(scratch("missing")), data::BadInput);
  EXPECT_THROW(data::read_safetensors(testing::TempDir()), data::BadInput);
}

TEST(Take, ChecksNameShapeTypeAndValues) {
  data::Weights weights;
  weights.source = "file";
  weights.tensors["conv.weight"] = at::ones({2, 3});
  weights.tensors["bad"] = at::full({1}, NAN);
  weights.tensors["whole"] = at::ones({1}, at::kLong);
  EXPECT_EQ(data::take(weights, "conv.weight", {2, -1}).size(1), 3);
  EXPECT_THROW(data::take(weights, "conv.weight", {3, 3}), data::BadInput);
  EXPECT_THROW(data::take(weights, "bad", {1}), data::BadInput);
  EXPECT_THROW(data::take(weights, "whole", {1}), data::BadInput);
  try {
    data::take(weights, "conv.weigth", {2, 3});
    FAIL();
  } catch (const data::BadInput& error) {
    EXPECT_NE(std::string(error.what()).find("conv.weight"), std::string::npos) << error.what();
  }
}

// Resident pages of the process, mapped or anonymous, in kB: what VmRSS counts.
int64_t resident_kb() {
  std::istringstream lines(data::read_file("/proc/self/status"));
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("VmRSS:")) return std::stoll(line.substr(6));
  }
  return 0;
}

TEST(Take, AnFp32TensorIsTheFilesOwnAndAHalfLeavesNoPagesBehind) {
  const auto path = scratch("pages");
  data::Weights weights;
  constexpr int64_t kCount = 8 << 20;
  weights.tensors["half"] = at::ones({kCount}, at::kHalf);  // 16 MiB
  weights.tensors["single"] = at::ones({kCount});           // 32 MiB
  data::write_safetensors(path, weights);
  weights.tensors.clear();
  const auto read = data::read_safetensors(path);
  EXPECT_TRUE(data::take(read, "single", {kCount}).is_same(read.tensors.at("single")));
  const int64_t before = resident_kb();
  { const at::Tensor half = data::take(read, "half", {kCount}); }
  EXPECT_LT(resident_kb() - before, 8 << 10);  // neither the copy nor the file's pages are left
  EXPECT_TRUE(at::equal(read.tensors.at("half"), at::ones({kCount}, at::kHalf)));
}

TEST(Take, WhatWasWrittenToAMappedTensorStays) {
  const auto path = scratch("written");
  data::Weights weights;
  for (const char* name : {"half", "neighbour"})
    weights.tensors[name] = at::ones({1 << 20}, at::kHalf);
  data::write_safetensors(path, weights);
  const auto read = data::read_safetensors(path);
  at::Tensor half = read.tensors.at("half");
  half.add_(1);
  data::take(read, "half", {-1});
  data::take(read, "neighbour", {-1});
  EXPECT_TRUE(at::equal(half, at::full({1 << 20}, 2, at::kHalf)));
}

TEST(AllFinite, FindsOneValueInEveryPlace) {
  at::Tensor x = at::zeros({3, 100'001});
  EXPECT_TRUE(data::all_finite(x));
  x[2][100'000] = std::numeric_limits<float>::infinity();
  EXPECT_FALSE(data::all_finite(x));
  EXPECT_FALSE(data::all_finite(x.to(at::kHalf)));
  EXPECT_TRUE(data::all_finite(at::ones({2}, at::kLong)));
  EXPECT_TRUE(data::all_finite(at::empty({0})));
}

TEST(CountNumbered, OneMoreThanTheLargest) {
  data::Weights weights;
  weights.tensors["layers.2.x"] = weights.tensors["layers.11.y"] = at::ones({1});
  weights.tensors["layers.x"] = at::ones({1});
  EXPECT_EQ(data::count_numbered(weights, "layers."), 12);
  EXPECT_EQ(data::count_numbered(weights, "blocks."), 0);
  weights.tensors["layers.10000.x"] = weights.tensors["layers.9223372036854775807.x"] =
      weights.tensors["layers.-3.x"] = at::ones({1});
  EXPECT_EQ(data::count_numbered(weights, "layers."), 12);
}

}  // namespace
