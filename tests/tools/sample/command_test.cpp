#include "tools/sample/command.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdlib>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/images/image_files.hpp"
#include "data/images/image_io.hpp"
#include "data/weights/safetensors.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/paths.hpp"
#include "tools/sample/jobs.hpp"
#include "tools/sample/writer.hpp"

namespace fs = std::filesystem;

namespace {

const std::string kModel = std::string(tests::source_dir()) + "/tests/golden/pipeline";

// Runs `laurel sample` on the tiny pipeline; returns its stdout.
std::string sample(std::vector<std::string> arguments) {
  const std::vector<std::string> usual{"-m", kModel, "--steps", "2", "--device", "cpu"};
  arguments.insert(arguments.begin(), usual.begin(), usual.end());
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  std::string text;
  try {
    EXPECT_EQ(tools::kSample.run(arguments), 0);
  } catch (...) {
    testing::internal::GetCapturedStdout();
    testing::internal::GetCapturedStderr();
    throw;
  }
  testing::internal::GetCapturedStderr();
  return testing::internal::GetCapturedStdout();
}

std::string failure(const std::vector<std::string>& arguments) {
  try {
    sample(arguments);
  } catch (const data::BadInput& error) {
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "accepted";
  return "";
}

rewards::WeightedReward brightness(double weight) {
  rewards::Reward reward;
  reward.info.name = "light";
  reward.score = [](const rewards::RewardBatch& batch) { return batch.images.mean({1, 2, 3}); };
  return {.reward = reward, .weight = weight};
}

TEST(SampleJobs, CountsSeedsAndOverrides) {
  const fs::path file = tests::fresh_folder("prompts") / "p.txt";
  data::write_file(file, "a cat --d 50 --s 9\na dog --n wet\n");
  tools::SampleConfig config;
  config.prompt = {"a bird"};
  config.prompts = file.string();
  config.count = 2;
  config.best_of = 3;
  config.seed = -1;
  config.negative_prompt = "dry";
  const auto jobs = tools::plan_jobs(tools::read_sample_prompts(config), config, 7);
  ASSERT_EQ(jobs.size(), 6u);
  EXPECT_EQ(jobs[0].seed, 7u);
  EXPECT_EQ(jobs[1].seed, 10u);
  EXPECT_EQ(jobs[2].seed, 50u);
  EXPECT_EQ(jobs[2].steps, 9);
  EXPECT_EQ(jobs[3].negative_prompt.text, "dry");
  EXPECT_EQ(jobs[4].negative_prompt.text, "wet");
  const auto groups = tools::group_jobs(jobs);
  EXPECT_EQ(groups, (std::vector<std::vector<size_t>>{{0, 1, 4, 5}, {2, 3}}));
}

TEST(SampleJobs, NumbersGoOn) {
  const fs::path folder = tests::fresh_folder("numbers");
  EXPECT_EQ(tools::next_number(folder.string()), 0);
  for (const char* name : {"00007-3.png", "00002-9.png", "notes-1.png", "00099-1.txt", "12.png"}) {
    data::write_file(folder / name, "x");
  }
  EXPECT_EQ(tools::next_number(folder.string()), 8);
  EXPECT_EQ(tools::image_name(8, 18446744073709551615ull), "00008-18446744073709551615.png");
}

TEST(SampleWriter, KeepsTheBestCandidate) {
  const fs::path folder = tests::fresh_folder("best");
  tools::SampleJob job{.prompt = "light",
                       .negative_prompt = "",
                       .seed = 40,
                       .height = 8,
                       .width = 8,
                       .steps = 2,
                       .cfg_scale = 5};
  for (const double weight : {1.0, -1.0}) {
    tools::SampleWriter writer({job}, {.output_dir = folder.string(),
                                       .first_number = weight > 0 ? 0 : 1,
                                       .best_of = 3,
                                       .rewards = {brightness(weight)},
                                       .base = {}});
    const at::Tensor latent = at::zeros({4, 4, 4});
    for (const int64_t i : {2, 0, 1}) {  // any order
      EXPECT_EQ(writer.written(), 0u);
      writer.take(0, i,
                  {.image = at::full({3, 8, 8}, i == 1 ? 0.8 : 0.2 * static_cast<double>(i)),
                   .initial = latent,
                   .latents = latent});
    }
    EXPECT_EQ(writer.written(), 1u);
  }
  const std::string text = data::read_png_text(folder / "00000-41.png").at("parameters");
  EXPECT_NE(text.find("Best of: 3, light Score: 0.8"), std::string::npos) << text;
  EXPECT_TRUE(fs::exists(folder / "00001-40.png"));
}

TEST(Sample, WritesNumberedImagesWithTheirSettings) {
  const fs::path folder = tests::fresh_folder("plain");
  const std::string said = sample({"-p", "a red circle, small", "-n", "2", "--seed", "5", "-o",
                                   folder.string(), "--negative-prompt", "blue"});
  EXPECT_EQ(said.find("2 images in "), 0u) << said;
  const at::Tensor image = data::read_image(folder / "00000-5.png");
  EXPECT_EQ(image.sizes(), at::IntArrayRef({3, 16, 16}));
  const std::string text = data::read_png_text(folder / "00001-6.png").at("parameters");
  EXPECT_EQ(text.find("a red circle, small\nNegative prompt: blue\nSteps: 2, Sampler: DDIM, CFG "
                      "scale: 5, Seed: 6, Size: 16x16, Model hash: "),
            0u)
      << text;
  EXPECT_NE(text.find(", Model: pipeline, laurel: "), std::string::npos) << text;
  sample({"a red circle, small", "--seed", "6", "--negative_prompt", "blue", "-b", "2", "-o",
          folder.string()});
  EXPECT_EQ(data::read_file(folder / "00001-6.png"), data::read_file(folder / "00002-6.png"));
  EXPECT_NE(data::read_file(folder / "config.toml").find("steps = 2"), std::string::npos);
}

TEST(Sample, ReadsPromptsAsTheWebUi) {
  const fs::path folder = tests::fresh_folder("weights");
  const std::string longer = "a (red:1.4) circle BREAK blue";
  const auto with = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"-b", "2", "-o", folder.string()});
    sample(arguments);
  };
  with({"-p", "a circle", "-p", longer, "--prompt-weighting", "--clip-skip", "1"});
  with({"-p", longer, "--prompt-weighting", "--clip-skip", "1"});  // 2: alone, the same image
  with({"-p", longer, "--clip-skip", "1"});                        // 3: brackets are text
  const auto bytes = [&](const char* name) { return data::read_image(folder / name); };
  EXPECT_TRUE(at::equal(bytes("00001-0.png"), bytes("00002-0.png")));
  EXPECT_FALSE(at::equal(bytes("00001-0.png"), bytes("00003-0.png")));
  const std::string text = data::read_png_text(folder / "00002-0.png").at("parameters");
  EXPECT_EQ(text.find(longer + "\n"), 0u) << text;
  EXPECT_NE(text.find(", Clip skip: 2, Prompt weighting: A1111"), std::string::npos) << text;
}

TEST(Sample, TakesTextualInversionsAndTiles) {
  const fs::path folder = tests::fresh_folder("embeddings"), words = folder / "embeddings";
  const auto write = [&](const char* name, int64_t width) {
    data::write_safetensors(
        words / name,
        {.tensors = {{"emb_params", at::ones({2, width})}}, .metadata = {}, .source = ""});
    return (words / name).string();
  };
  const std::string file = write("my-style.safetensors", 16);
  const std::string other = write("not-asked.safetensors", 24);  // of another family
  const std::string out = folder.string();
  sample({"a circle, My-Style", "-o", out, "--embedding", words.string()});
  sample({"a circle, ink", "-o", out, "--embedding", "ink=" + file});
  sample({"a circle, my-style", "-o", out});
  sample({"a circle, my-style", "-o", out, "-H", "24", "-W", "40", "--vae-tile-size", "8"});
  sample({"a circle, my-style", "-o", out, "-H", "24", "-W", "40"});
  const auto image = [&](int i) { return data::read_image(folder / tools::image_name(i, 0)); };
  EXPECT_TRUE(at::equal(image(0), image(1)));
  EXPECT_FALSE(at::equal(image(0), image(2)));
  EXPECT_EQ(image(3).sizes(), at::IntArrayRef({3, 24, 40}));
  EXPECT_FALSE(at::equal(image(3), image(4)));
  EXPECT_NE(failure({"a", "--embedding", other}).find("found 24"), std::string::npos);
  EXPECT_NE(failure({"a", "--embedding", "x=/nowhere.pt"}).find("found nothing; check the path"),
            std::string::npos);
}

// Five images in batches of two; the third and the fifth are missing.
TEST(Sample, AnEndedRunIsResumedBitForBit) {
  const fs::path whole = tests::fresh_folder("whole"), ended = tests::fresh_folder("ended");
  const auto run = [](const fs::path& folder, const std::vector<std::string>& more) {
    std::vector<std::string> words = {"-p", "a red circle", "-n", "5",  "-b",
                                      "2",  "--seed",       "7",  "-o", folder.string()};
    words.insert(words.end(), more.begin(), more.end());
    return sample(words);
  };
  run(whole, {});
  run(ended, {});
  fs::remove(ended / "00002-9.png");
  fs::remove(ended / "00004-11.png");
  EXPECT_EQ(run(ended, {"--resume"}).find("2 images in "), 0u);
  for (int i = 0; i < 5; ++i) {
    const std::string name = tools::image_name(i, static_cast<uint64_t>(7 + i));
    EXPECT_EQ(data::read_file(ended / name), data::read_file(whole / name)) << name;
  }
  EXPECT_EQ(run(ended, {"--resume"}).find("0 images in "), 0u);
  EXPECT_EQ(data::list_images(ended.string()).size(), 5u);
}

TEST(Sample, AnotherRunIsNotResumed) {
  const fs::path folder = tests::fresh_folder("other");
  sample({"-p", "a red circle", "-o", folder.string()});
  const std::string folder_text = folder.string();
  EXPECT_NE(failure({"-p", "a red circle", "-o", folder_text, "--resume", "--eta", "0.5"})
                .find("--resume: eta: expected 0.0 as in"),
            std::string::npos);
  fs::remove(folder / "config.toml");
  EXPECT_NE(failure({"-p", "a blue ring", "-o", folder_text, "--resume"})
                .find("expected an image of the prompt 'a blue ring', found 'a red circle'"),
            std::string::npos);
  EXPECT_NE(failure({"-p", "a", "-o", folder_text, "--resume", "--seed", "-1"}).find("--seed"),
            std::string::npos);
}

TEST(Sample, SavedLatentsGiveTheImageAgain) {
  const fs::path folder = tests::fresh_folder("latents");
  const std::string file = (folder / "noise.safetensors").string();
  for (const char* method : {"euler", "DPM++ 2M Karras"}) {
    const std::string out = (folder / method).string();
    sample({"a star", "-n", "3", "--save-latents", file, "-o", out, "--sampling-method", method});
    const auto saved = data::read_safetensors(file);
    EXPECT_EQ(saved.tensors.at("latents").sizes(), at::IntArrayRef({3, 4, 8, 8}));
    EXPECT_EQ(saved.metadata.at("seeds"), "0,1,2");
    sample({"a star", "--latents", file, "-o", out, "--sampling-method",
            method});  // three by themselves
    EXPECT_TRUE(
        at::equal(data::read_image(out + "/00002-2.png"), data::read_image(out + "/00005-2.png")))
        << method;
  }
}

TEST(Sample, MistakesTakeOneLine) {
  const fs::path folder = tests::fresh_folder("bad");
  const std::string noise = (folder / "noise.safetensors").string(),
                    other = (folder / "other.safetensors").string();
  data::write_safetensors(
      noise, {.tensors = {{"latents", at::zeros({2, 4, 8, 9})}}, .metadata = {}, .source = ""});
  data::write_safetensors(
      other, {.tensors = {{"latents", at::zeros({2, 3, 8, 8})}}, .metadata = {}, .source = ""});
  const auto expect = [&](const std::vector<std::string>& arguments, const std::string& part) {
    const std::string message = failure(arguments);
    EXPECT_NE(message.find(part), std::string::npos) << message;
  };
  expect({}, "expected a prompt, found none");
  expect({"a", "--prompts", "/nonexistent.txt"}, "no such file");
  expect({"caf\xE9"}, "expected UTF-8");
  expect({"a", "-m", "/nonexistent"}, "/nonexistent");
  expect({"a", "-H", "17"}, "multiples of 2 pixels, found 16x17");
  expect({"a", "--sampling-method", "eular"}, "did you mean euler?");
  expect({"a", "--timestep-spacing", "trail"}, "leading, trailing, linspace");
  expect({"a", "--sampling-method", "euler", "--eta", "0.5"}, "only DDIM and TCD have an eta");
  expect({"a", "--best-of", "4"}, "expected a --reward");
  expect({"a", "--latents", noise, "-n", "2", "-W", "16"}, "expected latents of [2, 4, 8, 8]");
  expect({"a", "--latents", noise, "-n", "3"}, "expected latents of [3, 4, 8, 9]");
  expect({"a", "--latents", other}, "expected [images, 4, height, width]");
  expect({"a", "--lora", "/nonexistent.safetensors"}, "/nonexistent.safetensors");
  expect({"a", "--steps", "0"}, "--steps");
  expect({"a", "--vae-tile-size", "12"}, "expected a multiple of 8 pixels");
  expect({"a [b:c:0.5]", "--prompt-weighting"}, "(prompt editing) is not supported");
  expect({"a", "-o", "/proc/nowhere"}, "/proc/nowhere");
  expect({"a", "--stesp", "3"}, "did you mean steps?");
}

TEST(Sample, TheProgramSaysSoAndExitsWithTwo) {
  const fs::path said = tests::fresh_folder("binary") / "said.txt";
  fs::create_directories(said.parent_path());
  const std::string command =
      std::string(tests::program()) + " sample -m /nonexistent a 2> " + said.string();
  EXPECT_EQ(WEXITSTATUS(std::system(command.c_str())), 2);
  EXPECT_EQ(data::read_file(said).find("laurel: /nonexistent"), 0u) << data::read_file(said);
}

}  // namespace
