#include "tools/cli/lora_choice.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/images/image_io.hpp"
#include "data/weights/safetensors.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/paths.hpp"
#include "tests/support/refusal.hpp"
#include "tools/checkpoints/merge_command.hpp"
#include "tools/sample/command.hpp"
#include "tools/sample/jobs.hpp"

namespace {

namespace fs = std::filesystem;

const fs::path kGolden = fs::path(tests::source_dir()) / "tests" / "golden";
const std::string kLoras = (kGolden / "lora").string();

// The stdout of a command; its notes on stderr are discarded.
std::string quietly(const std::function<int(const std::vector<std::string>&)>& command,
                    const std::vector<std::string>& arguments) {
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  try {
    EXPECT_EQ(command(arguments), 0);
  } catch (...) {
    testing::internal::GetCapturedStdout();
    testing::internal::GetCapturedStderr();
    throw;
  }
  testing::internal::GetCapturedStderr();
  return testing::internal::GetCapturedStdout();
}

void sample(std::vector<std::string> arguments, const std::string& model = "") {
  const std::vector<std::string> usual{
      "-m", model.empty() ? (kGolden / "pipeline").string() : model, "--steps", "2", "--device",
      "cpu"};
  arguments.insert(arguments.begin(), usual.begin(), usual.end());
  quietly(tools::kSample.run, arguments);
}

TEST(LoraTags, AreTakenOutOfThePrompt) {
  const auto tagged = tools::take_lora_tags(
      "a cat <lora:kohya:0.8>, red<lora:peft> <lyco:loha:0.5:-1> <lora:lokr:unet=2:te=0>", kLoras,
      "p");
  EXPECT_EQ(tagged.prompt, "a cat , red");
  ASSERT_EQ(tagged.loras.size(), 4u);
  EXPECT_EQ(tagged.loras[0].file.filename(), "kohya.safetensors");
  EXPECT_EQ(tagged.loras[0].unet_weight, 0.8);
  EXPECT_EQ(tagged.loras[0].text_weight, 0.8);
  EXPECT_EQ(tagged.loras[1].unet_weight, 1);
  EXPECT_EQ(tagged.loras[2].text_weight, 0.5);  // AUTOMATIC1111's order
  EXPECT_EQ(tagged.loras[2].unet_weight, -1);
  EXPECT_EQ(tagged.loras[3].unet_weight, 2);
  EXPECT_EQ(tagged.loras[3].text_weight, 0);
  EXPECT_EQ(tools::take_lora_tags("a <b> c < lora:x>", "", "p").prompt, "a <b> c < lora:x>");
}

TEST(LoraTags, MistakesAreNamed) {
  const auto expect = [](const std::string& prompt, const std::string& folder,
                         const std::string& part) {
    const std::string line = refusal([&] { tools::take_lora_tags(prompt, folder, "p.txt:3"); });
    EXPECT_NE(line.find(part), std::string::npos) << line;
  };
  expect("<lora:missing:1>", kLoras, "expected a LoRA 'missing' in ");
  expect("<lora:kohja:1>", kLoras, "found kohya, ");
  expect("<lora:kohya:strong>", kLoras, "expected a weight such as 0.8, found 'strong'");
  expect("<lora:kohya:11>", kLoras, "expected a weight in [-10, 10], found 11");
  expect("<lora:kohya:nan>", kLoras, "expected a weight");
  expect("<lora:kohya:1:1:1>", kLoras, "up to two weights");
  expect("<lora:kohya:clip=1>", kLoras, "unknown setting 'clip'");
  expect("<lora::1>", kLoras, "expected the name");
  expect("<lora:kohya:1>", "", "expected --lora_dir");
  expect("a circle <lora:" + std::string(40000, 'x'), kLoras, "expected a '>' that ends the tag");
  expect("a circle <lyco:kohya", kLoras, "<lyco:kohya: expected a '>'");
  expect("<lora:kohya:1>", "/nonexistent", "expected a folder");
}

// Folders list their files in no order: which one a name means must not hang on it.
TEST(LoraTags, TwoOfOneNameAreAskedAbout) {
  const fs::path folder = tests::fresh_folder();
  for (const char* place : {"a", "b"}) {
    fs::create_directories(folder / place);
    fs::copy_file(kLoras + "/kohya.safetensors", folder / place / "twin.safetensors");
  }
  const auto file_of = [&](const std::string& name) {
    return tools::take_lora_tags("<lora:" + name + ">", folder.string(), "p").loras.at(0).file;
  };
  const std::string said = refusal([&] { file_of("twin"); });
  EXPECT_NE(said.find("called 'twin': a/twin.safetensors, b/twin.safetensors"), std::string::npos)
      << said;
  EXPECT_EQ(file_of("a/twin"), folder / "a/twin.safetensors");
  EXPECT_EQ(file_of("b/twin.safetensors"), folder / "b/twin.safetensors");
  fs::copy_file(kLoras + "/kohya.safetensors", folder / "twin.safetensors");
  EXPECT_EQ(file_of("twin.safetensors"), folder / "twin.safetensors");
  EXPECT_NE(refusal([&] { file_of("twin"); }).find("several LoRAs"), std::string::npos);
}

TEST(LoraTags, ThatOfARunIsNotItsCheckpoints) {
  const fs::path folder = tests::fresh_folder();
  for (const char* place : {"run", "run/checkpoint-4"}) {
    fs::create_directories(folder / place);
    fs::copy_file(kLoras + "/kohya.safetensors", folder / place / "run.safetensors");
  }
  const auto file_of = [&](const std::string& name) {
    return tools::take_lora_tags("<lora:" + name + ">", folder.string(), "p").loras.at(0).file;
  };
  EXPECT_EQ(file_of("run"), folder / "run/run.safetensors");
  EXPECT_EQ(file_of("run/checkpoint-4/run"), folder / "run/checkpoint-4/run.safetensors");
}

TEST(LoraChoices, FilesNamesAndWeights) {
  const std::string file = kLoras + "/kohya.safetensors";
  EXPECT_EQ(tools::parse_lora_choice(file, 0.5, "").unet_weight, 0.5);
  EXPECT_EQ(tools::parse_lora_choice(file + "=-0.25", 0.5, "").text_weight, -0.25);
  EXPECT_EQ(tools::parse_lora_choice("kohya=2", 1, kLoras).file, fs::path(file));
  EXPECT_NE(refusal([&] { tools::parse_lora_choice(file + "=x", 1, ""); }).find("'x'"),
            std::string::npos);
  EXPECT_NE(
      refusal([&] { tools::parse_lora_choice("/no.safetensors", 1, ""); }).find("no such file"),
      std::string::npos);
}

TEST(SampleJobs, AreGroupedByTheirLoras) {
  tools::SampleConfig config;
  config.prompt = {"a <lora:kohya:1>", "b", "c <lora:kohya:1>", "d <lora:kohya:0.5>"};
  config.lora_dir = kLoras;
  const auto jobs = tools::plan_jobs(tools::read_sample_prompts(config), config, 0);
  EXPECT_EQ(jobs[0].prompt.text, "a");
  EXPECT_EQ(jobs[0].written_prompt, "a <lora:kohya:1>");
  EXPECT_EQ(tools::group_jobs(jobs), (std::vector<std::vector<size_t>>{{0, 2}, {1}, {3}}));
  config.negative_prompt = "bad <lora:kohya:1>";
  EXPECT_NE(refusal([&] { tools::read_sample_prompts(config); }).find("negative prompt"),
            std::string::npos);
}

TEST(SampleWithLoras, ATagAFlagAndAMergedCheckpointAgree) {
  const fs::path out = tests::fresh_folder("agree");
  const std::string file = kLoras + "/kohya.safetensors", merged = (out / "merged").string();
  sample({"a red circle", "a red circle <lora:kohya:0.8>", "a red circle <lora:peft:-0.5>",
          "--lora_dir", kLoras, "-b", "1", "-o", (out / "tags").string()});
  sample({"a red circle", "--lora", file + "=0.8", "-b", "1", "-o", (out / "flag").string()});
  quietly(tools::kMerge.run, {"-m", (kGolden / "pipeline").string(), "--lora", file + "=0.8", "-o",
                              merged, "--dtype", "fp32"});
  sample({"a red circle", "-b", "1", "-o", (out / "merged_images").string()}, merged);
  const auto image = [&](const std::string& name) { return data::read_image(out / name); };
  const at::Tensor tagged = image("tags/00001-0.png");
  EXPECT_FALSE(at::equal(tagged, image("tags/00000-0.png")));
  EXPECT_FALSE(at::equal(tagged, image("tags/00002-0.png")));
  EXPECT_TRUE(at::equal(tagged, image("flag/00000-0.png")));
  EXPECT_LE((tagged - image("merged_images/00000-0.png")).abs().max().item<double>(), 1.01 / 255);
  const std::string text = data::read_png_text(out / "tags/00001-0.png").at("parameters");
  EXPECT_EQ(text.find("a red circle <lora:kohya:0.8>\nSteps"), 0u) << text;
}

// The single file has the folder's weights.
TEST(Merge, ASingleFileStaysOne) {
  const fs::path out = tests::fresh_folder("single");
  const std::string folder = (kGolden / "pipeline").string(),
                    target = (out / "m.safetensors").string(),
                    file = (kGolden / "single_file/sd1/model.ckpt").string();
  for (const auto& [model, to] : {std::pair{folder, (out / "m").string()}, {file, target}})
    quietly(tools::kMerge.run, {"-m", model, "--lora", kLoras + "/kohya.safetensors=0.8", "--with",
                                folder, "-o", to, "--dtype", "fp32"});
  const auto merged = data::read_safetensors(target),
             whole = data::read_safetensors(out / "m/unet/diffusion_pytorch_model.safetensors");
  EXPECT_TRUE(at::equal(merged.tensors.at("model.diffusion_model.input_blocks.0.0.weight"),
                        whole.tensors.at("conv_in.weight")));
  EXPECT_TRUE(merged.tensors.contains("model_ema.decay"));
  const auto again = [&](const std::string& to) {
    return refusal([&] { quietly(tools::kMerge.run, {"-m", file, "--with", folder, "-o", to}); });
  };
  EXPECT_NE(again(target).find("is there already"), std::string::npos);
  EXPECT_NE(again((out / "m.ckpt").string()).find("ends in .safetensors"), std::string::npos);
}

TEST(Merge, LorasIntoOneAndOutOfTwoCheckpoints) {
  const fs::path out = tests::fresh_folder("merge");
  const std::string base = (kGolden / "pipeline").string(), tuned = (out / "tuned").string(),
                    one = (out / "one.safetensors").string(),
                    drawn = (out / "drawn.safetensors").string();
  const std::string said =
      quietly(tools::kMerge.run, {"--lora", "kohya=0.5", "--lora", "peft=0.25", "--lora_dir",
                                  kLoras, "-o", one, "--dtype", "fp16"});
  EXPECT_NE(said.find("one.safetensors: LoRA, rank"), std::string::npos) << said;
  const auto file = data::read_safetensors(one);
  EXPECT_EQ(file.metadata.at("ss_network_module"), "networks.lora");
  EXPECT_EQ(file.metadata.at("sshs_model_hash").size(), 64u);
  EXPECT_NE(file.metadata.at("ss_training_comment").find("kohya.safetensors 0.5"),
            std::string::npos);
  quietly(tools::kMerge.run, {"-m", base, "--lora", one, "-o", tuned, "--dtype", "fp32"});
  const std::string kept = quietly(tools::kMerge.run, {"-m", base, "--extract", tuned, "--rank",
                                                       "5", "-o", drawn, "--format", "peft"});
  EXPECT_NE(kept.find("kept 100 % of the squares"), std::string::npos) << kept;
  EXPECT_TRUE(fs::exists(drawn));
}

TEST(Merge, MistakesTakeOneLine) {
  const std::string base = (kGolden / "pipeline").string(), file = kLoras + "/kohya.safetensors";
  const fs::path out = tests::fresh_folder() / "bad";
  const auto expect = [&](std::vector<std::string> arguments, const std::string& part) {
    arguments.insert(arguments.end(), {"-o", (out / "x.safetensors").string()});
    const std::string line = refusal([&] { quietly(tools::kMerge.run, arguments); });
    EXPECT_NE(line.find(part), std::string::npos) << line;
  };
  expect({}, "found nothing to merge");
  expect({"-m", base}, "found nothing to merge");
  expect({"--with", base}, "expected --model, found none");
  expect({"-m", base, "--with", base, "--method", "add_difference"}, "expected --minus");
  expect({"-m", base, "--with", base, "--minus", base}, "expected --method add_difference");
  expect({"-m", base, "--extract", base}, "expected --rank or --energy");
  expect({"-m", base, "--extract", base, "--rank", "4"}, "there is nothing to extract");
  expect({"-m", base, "--extract", base, "--rank", "4", "--lora", file}, "expected no --lora");
  expect({"-m", "/nonexistent", "--lora", file}, "/nonexistent");
  expect({"--lora", kLoras + "/lokr.safetensors"}, "give --rank or --energy");
  expect({"--lora", base + "/unet/diffusion_pytorch_model.safetensors"}, "a checkpoint's tensor");
  EXPECT_FALSE(fs::exists(out));
}

}  // namespace
