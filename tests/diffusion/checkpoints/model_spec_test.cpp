#include "diffusion/checkpoints/model_spec.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstring>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/storage/sha256.hpp"
#include "data/weights/safetensors.hpp"
#include "tests/support/fresh_folder.hpp"

namespace {

data::Weights two_tensors() {
  data::Weights file;
  file.tensors["b"] = at::full({3}, 2.0).t();
  file.tensors["a"] = at::arange(6, at::kFloat).view({2, 3}).to(at::kHalf);
  return file;
}

// What stands behind the header of a file: 8 bytes of its length, and the header.
std::string content_of(const std::filesystem::path& path) {
  const std::string bytes = data::read_file(path);
  uint64_t length = 0;
  std::memcpy(&length, bytes.data(), 8);
  return bytes.substr(8 + length);
}

TEST(ModelSpec, KeysAreThoseOfTheSpecification) {
  // date -u -d @1796011505 gives 2026-11-30T04:05:05
  const auto metadata = diffusion::model_spec_metadata({.architecture = "stable-diffusion-v1",
                                                        .title = "mine",
                                                        .prediction_type = "v_prediction",
                                                        .resolution = 512,
                                                        .finished = 1796011505});
  const std::map<std::string, std::string> expected{
      {"modelspec.sai_model_spec", "1.0.0"},      {"modelspec.architecture", "stable-diffusion-v1"},
      {"modelspec.implementation", "diffusers"},  {"modelspec.title", "mine"},
      {"modelspec.date", "2026-11-30T04:05:05Z"}, {"modelspec.resolution", "512x512"},
      {"modelspec.prediction_type", "v"}};
  EXPECT_EQ(metadata, expected);
}

TEST(ModelSpec, TheHashIsOfAllThatFollowsTheHeader) {
  const auto path = tests::fresh_folder() / "a.safetensors";
  data::Weights file = two_tensors();
  diffusion::add_tensors_hash(file);
  EXPECT_TRUE(file.metadata.empty()) << "a file that does not follow ModelSpec";
  file.metadata = diffusion::model_spec_metadata({.title = "t"});
  diffusion::add_tensors_hash(file);
  data::write_safetensors(path, file);
  EXPECT_EQ(file.metadata.at("modelspec.hash_sha256"), "0x" + data::sha256(content_of(path)));
}

TEST(ModelSpec, DescribingAFileKeepsItsTensorsAndOtherKeys) {
  const auto path = tests::fresh_folder() / "a.safetensors";
  data::Weights file = two_tensors();
  file.metadata = {{"mine", "1"}, {"modelspec.title", "old"}};
  data::write_safetensors(path, file);
  const std::string before = content_of(path);
  diffusion::describe_file(path, diffusion::model_spec_metadata({.title = "new"}));
  EXPECT_EQ(content_of(path), before);
  const auto metadata = data::read_safetensors(path).metadata;
  EXPECT_EQ(metadata.at("mine"), "1");
  EXPECT_EQ(metadata.at("modelspec.title"), "new");
  EXPECT_EQ(metadata.at("modelspec.hash_sha256"), "0x" + data::sha256(before));
  EXPECT_THROW(diffusion::describe_file(path.parent_path() / "none.safetensors", {}),
               data::BadInput);
}

}  // namespace
