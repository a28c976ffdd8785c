#include "data/weights/weight_files.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/weights/safetensors.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/paths.hpp"

namespace {

namespace fs = std::filesystem;

class WeightFiles : public testing::Test {
 protected:
  void SetUp() override { folder_ = tests::fresh_folder(); }
  void write(const std::string& name, const std::map<std::string, at::Tensor>& tensors) {
    data::Weights file;
    file.tensors = tensors;
    data::write_safetensors(folder_ / name, file);
  }
  void write_index(const std::string& name, const std::string& map) {
    data::write_file(folder_ / name, R"({"metadata": {}, "weight_map": )" + map + "}");
  }
  std::string complaint(const std::string& stem) {
    try {
      data::read_weights(folder_, stem);
    } catch (const data::BadInput& error) {
      return error.what();
    }
    ADD_FAILURE() << "expected BadInput";
    return "";
  }
  fs::path folder_;
};

TEST_F(WeightFiles, TheFirstOfTheirFormsIsTaken) {
  const fs::path golden = fs::path(tests::source_dir()) / "tests/golden/torch_files/plain.pt";
  fs::create_directories(folder_);
  fs::copy_file(golden, folder_ / "pytorch_model.bin");
  EXPECT_TRUE(data::has(data::read_weights(folder_, "model"), "model.float"));
  write("model.fp16.safetensors", {{"half", at::ones({1}, at::kHalf)}});
  EXPECT_TRUE(data::has(data::read_weights(folder_, "model"), "half"));
  write("model.safetensors", {{"whole", at::ones({1})}});
  EXPECT_TRUE(data::has(data::read_weights(folder_, "model"), "whole"));
  EXPECT_EQ(data::find_weights(folder_, "model"),
            std::vector<fs::path>{folder_ / "model.safetensors"});
}

TEST_F(WeightFiles, ShardsAreJoined) {
  write("u-00001-of-00002.safetensors", {{"a", at::full({2}, 1.0)}});
  write("u-00002-of-00002.safetensors", {{"b", at::full({2}, 2.0)}, {"c", at::full({2}, 3.0)}});
  write_index("u.safetensors.index.json",
              R"({"a": "u-00001-of-00002.safetensors", "b": "u-00002-of-00002.safetensors",
                  "c": "u-00002-of-00002.safetensors"})");
  const auto weights = data::read_weights(folder_, "u");
  ASSERT_EQ(weights.tensors.size(), 3u);
  EXPECT_EQ(weights.tensors.at("c")[0].item<double>(), 3.0);
  EXPECT_EQ(data::find_weights(folder_, "u").size(), 2u);
}

TEST_F(WeightFiles, VariantsAndShardsOfTorchAreFound) {
  fs::create_directories(folder_);
  const fs::path golden = fs::path(tests::source_dir()) / "tests/golden/torch_files";
  write("u.non_ema.safetensors", {{"worse", at::ones({1})}});
  EXPECT_TRUE(data::has(data::read_weights(folder_, "u"), "worse"));
  fs::copy_file(golden / "plain.pt", folder_ / "u-00001-of-00002.bin");
  fs::copy_file(golden / "nested.pt", folder_ / "u-00002-of-00002.bin");
  write_index(
      "u.bin.index.json",
      R"({"model.float": "u-00001-of-00002.bin", "unet.conv.weight": "u-00002-of-00002.bin"})");
  EXPECT_TRUE(data::has(data::read_weights(folder_, "u"), "unet.conv.weight"));
  EXPECT_EQ(data::find_weights(folder_, "u").size(), 2u);
  write("u.bf16.safetensors", {{"brain", at::ones({1}, at::kBFloat16)}});
  EXPECT_TRUE(data::has(data::read_weights(folder_, "u"), "brain"));
}

TEST_F(WeightFiles, TheFirstBytesTellWhatAFileIs) {
  fs::create_directories(folder_);
  write("a.ckpt", {{"a", at::ones({1})}});
  EXPECT_TRUE(data::has(data::read_weights_file(folder_ / "a.ckpt"), "a"));
  fs::copy_file(fs::path(tests::source_dir()) / "tests/golden/torch_files/plain.pt",
                folder_ / "b.safetensors");
  EXPECT_TRUE(data::has(data::read_weights_file(folder_ / "b.safetensors"), "model.float"));
  EXPECT_THROW(data::read_weights_file(folder_), data::BadInput);
}

TEST_F(WeightFiles, BrokenSetsAreRefused) {
  fs::remove(folder_);
  EXPECT_NE(complaint("u").find("no such folder"), std::string::npos);
  fs::create_directories(folder_);
  write("first.safetensors", {{"a", at::ones({2})}});
  EXPECT_NE(complaint("u").find("found no weights"), std::string::npos);
  write_index("u.safetensors.index.json", R"({"a": "first.safetensors", "b": "gone.safetensors"})");
  EXPECT_NE(complaint("u").find("gone.safetensors: no such file"), std::string::npos);
  write_index("u.safetensors.index.json",
              R"({"a": "first.safetensors", "b": "first.safetensors"})");
  EXPECT_NE(complaint("u").find("names tensor b"), std::string::npos);
  write("second.safetensors", {{"a", at::ones({2})}, {"b", at::ones({2})}});
  write_index("u.safetensors.index.json",
              R"({"a": "first.safetensors", "b": "second.safetensors"})");
  EXPECT_NE(complaint("u").find("stands in another shard"), std::string::npos);
  write_index("u.safetensors.index.json", R"({"a": "../first.safetensors"})");
  EXPECT_NE(complaint("u").find("expected a file's name"), std::string::npos);
  write_index("u.safetensors.index.json", R"({"a": ")" + std::string(300, 'a') + R"("})");
  EXPECT_NE(complaint("u").find("no such file, although"), std::string::npos);
  write_index("u.safetensors.index.json", "3");
  EXPECT_NE(complaint("u").find("weight_map"), std::string::npos);
}

}  // namespace
