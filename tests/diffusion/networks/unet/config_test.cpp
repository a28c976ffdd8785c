// Names and shapes of the released UNets, from their configs alone.

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "data/storage/sha256.hpp"
#include "diffusion/networks/unet/unet.hpp"
#include "tests/support/paths.hpp"

namespace {

namespace fs = std::filesystem;

const nlohmann::json& tables() {
  static const nlohmann::json file =
      data::read_json(fs::path(tests::source_dir()) / "tests/golden/unet_tables.json");
  return file;
}

diffusion::UNet unet_of(const nlohmann::json& table) {
  const std::string test = testing::UnitTest::GetInstance()->current_test_info()->name();
  const fs::path file = fs::path(testing::TempDir()) / ("laurel_table_" + test) / "config.json";
  data::write_file(file, data::to_text(table["config"]));
  return diffusion::meta_unet(diffusion::read_unet_config(file));
}

// "<name> <sizes with x between>"
std::map<std::string, at::Tensor> tensors_of(diffusion::UNet& unet) {
  std::map<std::string, at::Tensor> tensors;
  for_each_tensor(unet, "", [&](const std::string& name, at::Tensor& tensor) {
    std::string line = name + " ";
    for (int64_t i = 0; i < tensor.dim(); ++i)
      line += (i ? "x" : "") + std::to_string(tensor.size(i));
    EXPECT_TRUE(tensors.emplace(line, tensor).second) << line;
  });
  return tensors;
}

struct Released {
  const char* name;
  int64_t parameters;  // of the released file
};
class UNetTable : public testing::TestWithParam<Released> {};

TEST_P(UNetTable, NamesAndShapesAreThoseOfTheReleasedModel) {
  const nlohmann::json& table = tables()[GetParam().name];
  diffusion::UNet unet = unet_of(table);
  const auto tensors = tensors_of(unet);
  std::string text;
  int64_t parameters = 0;
  for (const auto& [line, tensor] : tensors) {
    text += line + "\n";
    parameters += tensor.numel();
    EXPECT_TRUE(tensor.is_meta());
  }
  for (const auto& line : table["some"]) EXPECT_TRUE(tensors.contains(line)) << line;
  EXPECT_EQ(static_cast<int64_t>(tensors.size()), table["tensors"]);
  EXPECT_EQ(parameters, table["parameters"]);
  EXPECT_EQ(parameters, GetParam().parameters);
  EXPECT_EQ(data::sha256(text), table["sha256"]);
}

INSTANTIATE_TEST_SUITE_P(Released,
                         UNetTable,
                         testing::Values(Released{"sd15", 859'520'964},
                                         Released{"sd21", 865'910'724},
                                         Released{"sdxl", 2'567'463'684},
                                         Released{"lcm", 859'602'884},
                                         Released{"ip2p", 859'532'484}),
                         [](const auto& model) { return model.param.name; });

TEST(MetaUNet, AConfigThatDoesNotFitIsRefused) {
  diffusion::UNetConfig config;
  config.heads = {8};
  EXPECT_THROW(diffusion::meta_unet(config), data::BadInput);
}

}  // namespace
