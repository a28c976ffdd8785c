// `laurel sample --max_memory` on models of flow matching: the text encoders leave, and blocks are
// read from the file where they do not fit.

#include "diffusion/networks/streaming.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <set>

#include "data/device/memory.hpp"
#include "data/images/image_io.hpp"
#include "diffusion/checkpoints/diffusers_folder.hpp"
#include "diffusion/checkpoints/single_file.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/golden.hpp"
#include "tests/support/refusal.hpp"
#include "tests/support/tiny/pipeline.hpp"
#include "tools/sample/command.hpp"
#include "tools/sample/memory_fit.hpp"

namespace {

namespace fs = std::filesystem;
using diffusion::Pipeline;

const fs::path kStreamedModels[] = {golden::folder() / "sd3" / "sd35",
                                    golden::folder() / "flux" / "dev"};

TEST(KeptBlocks, AreThoseThatFitBesideTheOneThatIsRead) {
  const std::vector<double> blocks{10, 20, 30};
  EXPECT_EQ(tools::kept_blocks(blocks, 30), 3u);  // none is read: its 30 are free
  EXPECT_EQ(tools::kept_blocks(blocks, 29), 1u);
  EXPECT_EQ(tools::kept_blocks({30, 20, 10}, 29), 0u);
  EXPECT_EQ(tools::kept_blocks(blocks, 9), 0u);
  EXPECT_EQ(tools::kept_blocks({}, 9), 0u);
}

// In the order of their names.
std::vector<at::Tensor> pictures_in(const fs::path& folder) {
  std::set<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.path().extension() == ".png") files.insert(entry.path());
  std::vector<at::Tensor> pictures;
  for (const auto& file : files) pictures.push_back(data::read_image(file));
  return pictures;
}

std::string sample_streamed(const fs::path& model,
                            const fs::path& out,
                            const std::vector<std::string>& more) {
  std::vector<std::string> arguments{
      "-m", model.string(), "-o", out.string(), "--device", "cpu", "--width",
      "16", "--height",     "16", "--steps",    "2",        "-b",  "1",
      "-p", "a red star",   "-p", "two squares"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  testing::internal::CaptureStderr();
  testing::internal::CaptureStdout();
  EXPECT_EQ(tools::kSample.run(arguments), 0);
  return testing::internal::GetCapturedStdout() + testing::internal::GetCapturedStderr();
}

TEST(StreamedSample, MakesTheSamePicturesUnderALimit) {
  for (const fs::path& model : kStreamedModels) {
    for (const char* precision : {"fp32", "bf16"}) {
      const fs::path plain = tests::fresh_folder("plain"), limited = tests::fresh_folder("limited");
      sample_streamed(model, plain, {"--precision", precision});
      const std::string said =
          sample_streamed(model, limited, {"--precision", precision, "--max_memory", "100GB"});
      EXPECT_NE(said.find("their encoders have left memory"), std::string::npos) << said;
      EXPECT_EQ(said.find("read from the file"), std::string::npos) << said;  // all fits
      const auto expected = pictures_in(plain), found = pictures_in(limited);
      ASSERT_EQ(expected.size(), 2u);
      ASSERT_EQ(found.size(), 2u);
      for (size_t i = 0; i < 2; ++i)
        EXPECT_TRUE(at::equal(found[i], expected[i])) << model << " " << precision << " " << i;
    }
  }
}

TEST(StreamedSample, ALimitThatStreamsNothingChangesNoBits) {
  const fs::path model = tests::fresh_folder("model"), plain = tests::fresh_folder("plain"),
                 limited = tests::fresh_folder("limited");
  diffusion::save_pipeline(model, tests::tiny_pipeline(), at::kFloat);
  sample_streamed(model, plain, {"--precision", "bf16"});
  sample_streamed(model, limited, {"--precision", "bf16", "--max_memory", "100GB"});
  const auto expected = pictures_in(plain), found = pictures_in(limited);
  ASSERT_EQ(found.size(), expected.size());
  for (size_t i = 0; i < found.size(); ++i) EXPECT_TRUE(at::equal(found[i], expected[i])) << i;
}

// The pictures of a pipeline, with guidance.
at::Tensor drawn(const Pipeline& pipeline) {
  diffusion::GenerateOptions options;
  options.sampler = {.sampler = pipeline.scheduler.sampler, .steps = 2};
  options.guidance.scale = 2;
  options.height = options.width = 16;
  std::vector<diffusion::ImageRequest> requests(1);
  requests[0].prompt = "a red star";
  at::Tensor images;
  diffusion::generate(pipeline, requests, options,
                      [&](const diffusion::GeneratedBatch& batch) { images = batch.images; });
  return images;
}

TEST(StreamedSample, APipelineWithItsBlocksInTheFileDrawsTheSameBits) {
  for (const fs::path& model : kStreamedModels) {
    const at::Tensor expected = drawn(diffusion::load_pipeline(model));
    Pipeline streamed = diffusion::load_pipeline(model, {.holding = {.streamed = true}});
    EXPECT_FALSE(diffusion::streamed_bytes(streamed.network).empty());
    EXPECT_TRUE(at::equal(drawn(streamed), expected)) << model;
    ASSERT_TRUE(diffusion::encode_and_free(streamed, {"a red star"}, {""}, 0));
    EXPECT_TRUE(at::equal(drawn(streamed), expected)) << "without text encoders, " << model;
    EXPECT_THROW(diffusion::encode_prompts(streamed, {"another"}), c10::Error);
  }
}

TEST(StreamedSample, ASingleFileIsStreamedToo) {
  const fs::path folder = tests::fresh_folder();
  fs::copy(golden::folder() / "sd3" / "single_file", folder, fs::copy_options::recursive);
  for (const char* name : {"tokenizer", "tokenizer_2", "tokenizer_3"})
    fs::copy(kStreamedModels[0] / name, folder / name, fs::copy_options::recursive);
  const fs::path file = folder / "model.safetensors";
  const Pipeline streamed =
      diffusion::load_single_file(file, {.holding = {.streamed = true}}).pipeline;
  EXPECT_EQ(diffusion::streamed_bytes(streamed.network).size(), 3u);
  EXPECT_TRUE(at::equal(drawn(streamed), drawn(diffusion::load_single_file(file, {}).pipeline)));
}

// A model whose 6 blocks are 15 MB each.
fs::path model_with_large_blocks() {
  auto generator = at::detail::createCPUGenerator(1);
  Pipeline pipeline = diffusion::load_pipeline(kStreamedModels[0]);
  diffusion::MMDiTConfig config = std::get<diffusion::MMDiT>(pipeline.network).config;
  config.num_layers = 6;
  config.attention_head_dim = 64;
  config.num_attention_heads = 5;
  config.caption_projection_dim = 320;
  config.dual_attention_layers = {};
  pipeline.network = diffusion::make_mmdit(config, generator);
  const fs::path folder = tests::fresh_folder("large");
  diffusion::save_pipeline(folder, pipeline, at::kHalf);
  return folder;
}

TEST(StreamedSample, ALimitBelowTheWholeLeavesBlocksInTheFile) {
  const fs::path model = model_with_large_blocks();
  const at::Tensor expected = drawn(diffusion::load_pipeline(model));
  Pipeline pipeline;
  const auto fit = [&](double bytes) {
    pipeline = Pipeline();
    pipeline = diffusion::load_pipeline(model, {.holding = {.streamed = true}});
    data::return_freed_memory();  // of the pipeline before: the whole process is measured
    return tools::fit_generation(pipeline, {.height = 16, .width = 16},
                                 {.prompt = "a", .negative_prompt = {}, .seed = 0, .latents = {}},
                                 {.bytes = bytes});
  };
  const double whole = fit(100e9).peak;
  EXPECT_TRUE(diffusion::streamed_bytes(pipeline.network).empty());
  const double block = diffusion::streamed_bytes(
      diffusion::load_pipeline(model, {.holding = {.streamed = true}}).network)[0];
  testing::internal::CaptureStderr();
  const double limit = whole - 3.5 * block;
  const auto limited = fit(limit);
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_NE(said.find(" of 6 blocks of the network are read from the file"), std::string::npos)
      << said;
  EXPECT_LE(limited.peak, limit);
  const size_t in_file = diffusion::streamed_bytes(pipeline.network).size();
  EXPECT_GE(in_file, 2u);
  EXPECT_LE(in_file, 6u);
  EXPECT_TRUE(at::equal(drawn(pipeline), expected));
  EXPECT_NE(refusal([&] { fit(50e6); }).find("max_memory: expected at least"), std::string::npos);
}

}  // namespace
