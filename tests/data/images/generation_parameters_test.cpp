#include "data/images/generation_parameters.hpp"

#include <gtest/gtest.h>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/storage/sha256.hpp"

namespace {

TEST(Sha256, KnownDigests) {  // FIPS 180-4's examples
  EXPECT_EQ(data::sha256(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(data::sha256("abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(data::sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(data::sha256(std::string(1'000'000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256, FileEqualsItsBytes) {
  const std::string path = testing::TempDir() + "/laurel_sha256", bytes(3'000'001, 'x');
  data::write_file(path, bytes);
  EXPECT_EQ(data::sha256_of_file(path), data::sha256(bytes));
  EXPECT_THROW(data::sha256_of_file(path + ".absent"), data::BadInput);
}

TEST(Parameters, AsTheWebUiWritesThem) {
  data::GenerationParameters p{.prompt = "a cat, red",
                               .negative_prompt = "blurry",
                               .steps = 20,
                               .sampler = "Euler a",
                               .cfg_scale = 7.5,
                               .seed = 42,
                               .width = 512,
                               .height = 768,
                               .model_hash = "0123456789",
                               .model = "tiny-world",
                               .extra = {{"laurel", "0.1.0"}, {"Note", "a, b"}}};
  EXPECT_EQ(data::parameters_text(p),
            "a cat, red\nNegative prompt: blurry\nSteps: 20, Sampler: Euler a, CFG scale: 7.5, "
            "Seed: 42, Size: 512x768, "
            "Model hash: 0123456789, Model: tiny-world, laurel: 0.1.0, Note: \"a, b\"");
  p.negative_prompt = p.model_hash = "";
  p.cfg_scale = 7;
  p.extra.clear();
  EXPECT_EQ(data::parameters_text(p),
            "a cat, red\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 42, Size: 512x768, "
            "Model: tiny-world");
}

TEST(Parameters, AreSplitWhereverTheLineOfSettingsStands) {
  const std::string settings = "Steps: 20, Sampler: Euler a, Seed: 1";
  const auto parts = data::split_parameters("a cat\non a mat\nNegative prompt: dog,\nhorse\n" +
                                            settings + "\nTemplate: a {red|blue} cat\nSteps: few");
  EXPECT_EQ(parts.prompt, "a cat\non a mat");
  EXPECT_EQ(parts.negative_prompt, "dog,\nhorse");
  EXPECT_EQ(parts.settings, settings);
  EXPECT_EQ(parts.after, "\nTemplate: a {red|blue} cat\nSteps: few");
  EXPECT_EQ(data::split_parameters("a cat\nSteps: 20").prompt, "a cat");
  EXPECT_EQ(data::split_parameters("a cat").prompt, "a cat");
  EXPECT_EQ(data::split_parameters("a cat\nAesthetic Score: 5").prompt, "a cat");
  EXPECT_EQ(data::split_parameters("Negative prompt: dog\nSteps: 20").prompt, "");
  EXPECT_EQ(data::split_parameters("Steps: 20").prompt, "");
  EXPECT_EQ(data::split_parameters("").settings, "");
}

}  // namespace
