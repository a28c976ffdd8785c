// laurel edit and laurel finetune edit as commands.

#include "tools/edit/command.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "data/images/formats/png_text.hpp"
#include "data/images/image_io.hpp"
#include "diffusion/checkpoints/diffusers_folder.hpp"
#include "tests/support/edit_command.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/paths.hpp"
#include "tests/support/refusal.hpp"
#include "tools/edit/batch_file.hpp"
#include "tools/edit/jobs.hpp"
#include "tools/finetune/command.hpp"

namespace {

namespace fs = std::filesystem;

using tests::Outcome;
using tests::Place;
using tests::place;
using tests::run;

Outcome edit(const Place& in, std::vector<std::string> arguments) {
  for (const std::string& usual :
       {std::string("-m"), in.at("model"), std::string("--steps"), std::string("2"),
        std::string("-o"), in.at("out"), std::string("--device"), std::string("cpu")})
    arguments.push_back(usual);
  return run(tools::kEdit.run, arguments);
}

std::string parameters(const fs::path& png) { return data::read_png_text(png).at("parameters"); }

TEST(EditCommand, WritesAPictureThatSaysHowItWasMade) {
  const Place in = place("one");
  const auto done = edit(in, {"-i", in.at("a.png"), "-e", "make it red", "--seed", "5", "--request",
                              "5,-,9", "--request_scale", "2", "--strength", "0.9",
                              "--sampling_method", "euler_a", "--cfg_image", "1.2"});
  EXPECT_EQ(done.code, 0) << done.err;
  EXPECT_NE(done.err.find("9 is outside 0 to 5"), std::string::npos) << done.err;
  const fs::path file = in.folder / "out/00000-5.png";
  EXPECT_EQ(data::read_image(file).sizes(), (std::vector<int64_t>{3, 16, 16}));
  for (const char* part :
       {"make it red\n", "Steps: 2, Sampler: Euler a, CFG scale: 7.5, Seed: 5, Size: 16x16",
        "Image CFG scale: 1.2", "Image: a.png", "Denoising strength: 0.9",
        "Requested reward: \"instruction_following=5, generation_quality=5\"",
        "Reward CFG scale: 2"})
    EXPECT_NE(parameters(file).find(part), std::string::npos) << part << parameters(file);
  const auto line = data::parse_json(data::read_file(in.folder / "out/results.jsonl"));
  EXPECT_TRUE(line["request"]["detail_preserving"].is_null());
  EXPECT_EQ(line["request"]["generation_quality"], 5);
}

TEST(EditCommand, TheSameSeedGivesTheSameBitsAndTheRequestMatters) {
  const Place in = place("seeds");
  edit(in, {"-i", in.at("a.png"), "-e", "x", "--output", in.at("1.png")});
  edit(in, {"-i", in.at("a.png"), "-e", "x", "--output", in.at("2.png")});
  edit(in, {"-i", in.at("a.png"), "-e", "x", "--output", in.at("3.png"), "--request", "none"});
  EXPECT_EQ(data::read_file(in.at("1.png")), data::read_file(in.at("2.png")));
  EXPECT_FALSE(at::equal(data::read_image(in.at("1.png")), data::read_image(in.at("3.png"))));
}

// A file of edits may come from anywhere: what it names for output stays in the output folder.
TEST(EditCommand, ABatchWritesWithinItsFolderAlone) {
  const Place in = place("within");
  std::string lines;
  for (const char* name : {R"("output": "../x.png")", R"("output": "/tmp/laurel_x.png")",
                           R"("output": "sub/../../x.png")", R"("id": "../x")", R"("output": "..")",
                           R"("output": "sub/./y.png")"})
    lines += R"({"image": "a.png", "instruction": "x", )" + std::string(name) + "}\n";
  data::write_file(in.folder / "jobs.jsonl", lines);
  const auto done = edit(in, {"--batch", in.at("jobs.jsonl")});
  EXPECT_EQ(done.code, 2);
  EXPECT_NE(done.err.find("jobs.jsonl:1: output: expected the name of a file within --output_dir, "
                          "found '../x.png'"),
            std::string::npos)
      << done.err;
  EXPECT_NE(done.err.find("5 of 6 edits failed"), std::string::npos) << done.err;
  EXPECT_FALSE(fs::exists(in.folder / "x.png") || fs::exists("/tmp/laurel_x.png"));
  EXPECT_TRUE(fs::exists(in.folder / "out/sub/y.png"));
}

// No line of a batch writes over what another line, or the run itself, writes.
TEST(EditCommand, EveryLineOfABatchHasAnOutputOfItsOwn) {
  const Place in = place("own");
  std::string lines;
  for (const char* name : {R"("id": "a")", R"("output": "./a.png")", R"("output": "results.jsonl")",
                           R"("output": "b.png")"})
    lines += R"({"image": "a.png", "instruction": "x", )" + std::string(name) + "}\n";
  data::write_file(in.folder / "jobs.jsonl", lines);
  const auto done = edit(in, {"--batch", in.at("jobs.jsonl")});
  EXPECT_EQ(done.code, 2);
  for (const char* fault : {"jobs.jsonl:2: output: expected a file of its own, found ",
                            "jobs.jsonl:3: output: expected the name of an image, as edited.png",
                            "2 of 4 edits failed"})
    EXPECT_NE(done.err.find(fault), std::string::npos) << fault << done.err;
  EXPECT_TRUE(fs::exists(in.folder / "out/a.png") && fs::exists(in.folder / "out/b.png"));
}

TEST(EditCommand, DoesTheGoodLinesOfABatchAndNamesTheOthers) {
  const Place in = place("batch");
  data::write_file(
      in.folder / "jobs.jsonl",
      R"({"source_img": "a.png", "instruction": "x", "id": "one", "reward": [5,null,3]})"
      "\nnot json\n"
      R"({"input": "gone.png", "edit": "x"})"
      "\n"
      R"({"image": "a.png", "instruction": " "})"
      "\n"
      R"({"image": "a.png", "instruction": "x", "request": {"beauty": 5}})"
      "\n"
      R"({"image": "wide.png", "instruction": "x", "seed": 9, "output": "sub/w.png"})"
      "\n");
  const auto done = edit(in, {"--batch", in.at("jobs.jsonl")});
  EXPECT_EQ(done.code, 2);
  for (const char* fault : {"jobs.jsonl:2: ", "jobs.jsonl:3: ", "gone.png: no such file",
                            "jobs.jsonl:4: expected an instruction, found none",
                            "jobs.jsonl:5: request: unknown axis 'beauty'; expected one of "
                            "instruction_following, detail_preserving, generation_quality",
                            "4 of 6 edits failed"})
    EXPECT_NE(done.err.find(fault), std::string::npos) << fault << "\n" << done.err;
  EXPECT_NE(parameters(in.folder / "out/one.png").find("generation_quality=3"), std::string::npos);
  EXPECT_TRUE(fs::exists(in.folder / "out/sub/w.png"));
  const auto again = edit(in, {"--batch", in.at("jobs.jsonl"), "--resume"});
  EXPECT_NE(again.out.find("0 edits in"), std::string::npos);
  EXPECT_NE(again.out.find("2 skipped: the files exist"), std::string::npos) << again.out;
}

// Ended between an image and its line, or within the line, or before the page.
TEST(EditCommand, AResumedRunWritesTheMissingLineAndThePage) {
  const Place in = place("ended");
  const auto run = [&](std::vector<std::string> more) {
    more.insert(more.end(), {"-i", in.at("a.png"), "-e", "x", "-n", "3", "--seed", "4", "-b", "1",
                             "--gallery"});
    EXPECT_EQ(edit(in, more).code, 0);
  };
  const auto records = [&] {
    std::string text;
    data::for_each_line(in.folder / "out/results.jsonl",
                        [&](const std::string& line, const std::string& where) {
                          auto record = data::parse_json_object(line, where);
                          record.erase("seconds");
                          text += data::to_text(record) + "\n";
                        });
    return text;
  };
  run({});
  const std::string whole = records(), lines = data::read_file(in.folder / "out/results.jsonl");
  const size_t last = lines.rfind('\n', lines.size() - 2) + 1;
  for (const size_t kept : {last, last + 20, lines.size()}) {
    data::write_file(in.folder / "out/results.jsonl", lines.substr(0, kept));
    fs::remove(in.folder / "out/gallery.html");
    run({"--resume"});
    EXPECT_EQ(records(), whole) << kept;
    EXPECT_TRUE(fs::exists(in.folder / "out/gallery.html")) << kept;
  }
}

TEST(EditCommand, ReadsATable) {
  const Place in = place("table");
  data::write_file(in.folder / "jobs.csv",
                   "image,edit_prompt,seed,reward\na.png,\"make it red, now\",3,\"1,2,3\"\n"
                   "a.png,y\n");
  const auto done = edit(in, {"--batch", in.at("jobs.csv")});
  EXPECT_EQ(done.code, 2);
  EXPECT_NE(done.err.find("jobs.csv:3: expected 4 fields as in the first line, found 2"),
            std::string::npos)
      << done.err;
  const std::string text = parameters(in.folder / "out/00000-3.png");
  EXPECT_NE(text.find("make it red, now"), std::string::npos);
  EXPECT_NE(text.find("detail_preserving=2"), std::string::npos);
}

TEST(EditCommand, ASweepIsAGallery) {
  const Place in = place("sweep");
  const auto done = edit(
      in, {"-i", in.at("a.png"), "-e", "x", "--sweep", "detail_preserving", "--sweep_points", "3"});
  EXPECT_EQ(done.code, 0) << done.err;
  for (const char* file : {"samples/source/00000-0.png", "samples/detail_preserving 0/00000-0.png",
                           "samples/detail_preserving 2.5/00000-0.png",
                           "samples/detail_preserving 5/00000-0.png", "gallery.html"})
    EXPECT_TRUE(fs::exists(in.folder / "out" / file)) << file;
  EXPECT_NE(parameters(in.folder / "out/samples/detail_preserving 0/00000-0.png")
                .find("instruction_following=5, detail_preserving=0, generation_quality=5"),
            std::string::npos);
}

TEST(EditCommand, TransparencyIsDroppedAndAStripIsRefused) {
  const Place in = place("kinds");
  const std::string golden = std::string(tests::source_dir()) + "/tests/golden/images/alpha.png";
  fs::copy_file(golden, in.folder / "alpha.png");
  data::write_png(in.folder / "plain.png", data::read_image(golden));
  for (const char* name : {"plain", "alpha"}) {
    const auto done = edit(in, {"-i", in.at(std::string(name) + ".png"), "-e", "x", "--output",
                                in.at(std::string(name) + "-edited.png")});
    EXPECT_EQ(done.code, 0) << done.err;
  }
  EXPECT_TRUE(at::equal(data::read_image(in.at("plain-edited.png")),
                        data::read_image(in.at("alpha-edited.png"))));
  data::write_png(in.folder / "strip.png", at::zeros({3, 2, 2000}));
  const auto strip = edit(in, {"-i", in.at("strip.png"), "-e", "x"});
  EXPECT_EQ(strip.code, 2);
  EXPECT_NE(strip.err.find("strip.png: expected an image of ordinary proportions, found 2000x2"),
            std::string::npos)
      << strip.err;
}

TEST(EditCommand, AHugePhotographIsBroughtToTheModelsSize) {
  const Place in = place("huge");
  data::write_png(in.folder / "huge.png", at::full({3, 6000, 8000}, 0.5));
  const auto done = edit(in, {"-i", in.at("huge.png"), "-e", "x", "--output", in.at("out.png")});
  EXPECT_EQ(done.code, 0) << done.err;
  EXPECT_LE(data::read_image(in.at("out.png")).size(2), 32);
}

TEST(EditCommand, ChoosesABatchThatFits) {
  const Place in = place("memory");
  const std::vector<std::string> usual{"-i", in.at("a.png"), "-e", "x", "-n", "4"};
  auto enough = usual, little = usual;
  enough.insert(enough.end(), {"--max_memory", "100GB"});
  const auto done = edit(in, enough);
  EXPECT_NE(done.err.find("max_memory 100.00 GB: batch_size 4; forecast peak"), std::string::npos)
      << done.err;
  little.insert(little.end(), {"--max_memory", "1MB"});
  EXPECT_NE(edit(in, little).err.find("max_memory: expected at least"), std::string::npos);
}

TEST(EditCommand, TheEmbeddedEditorIsTheModelWhereNoneIsNamed) {
  const fs::path out = tests::fresh_folder();
  data::write_png(out / "a.png", at::full({3, 64, 64}, 0.5));
  const auto done =
      run(tools::kEdit.run, {"-i", (out / "a.png").string(), "-e", "make the background navy",
                             "--steps", "1", "-o", out.string(), "--device", "cpu"});
  EXPECT_EQ(done.code, 0) << done.err;
  const auto line = data::parse_json(data::read_file(out / "results.jsonl"));
  EXPECT_NE(line["model"].get<std::string>().find("tiny-world-edit"), std::string::npos);
  EXPECT_EQ(line["request"].size(), 3u);
}

TEST(EditCommand, KeepsTheBestOfSeveral) {
  const Place in = place("best");
  const std::vector<std::string> usual{"-i", in.at("a.png"), "-e",
                                       "x",  "-r",           "jpeg_compressibility"};
  auto best = usual;
  best.insert(best.end(), {"--best_of", "4", "-b", "1"});
  EXPECT_EQ(edit(in, best).code, 0);
  auto all = usual;
  all.insert(all.end(), {"-n", "4", "-b", "1"});
  EXPECT_EQ(edit(in, all).code, 0);
  std::vector<double> scores;
  std::istringstream lines(data::read_file(in.folder / "out/results.jsonl"));
  for (std::string line; std::getline(lines, line);)
    scores.push_back(data::parse_json(line)["scores"]["jpeg_compressibility"].get<double>());
  ASSERT_EQ(scores.size(), 5u);
  EXPECT_EQ(scores[0], *std::max_element(scores.begin() + 1, scores.end()));
}

TEST(EditCommand, RefusesInOneLine) {
  const Place in = place("bad");
  const std::vector<std::string> usual{"-i", in.at("a.png"), "-e", "x"};
  const auto refused = [&](std::vector<std::string> more) {
    more.insert(more.begin(), usual.begin(), usual.end());
    return edit(in, more).err;
  };
  EXPECT_NE(edit(in, {"-i", in.at("a.png"), "-e", " "})
                .err.find("--instruction: expected an instruction"),
            std::string::npos);
  EXPECT_NE(edit(in, {"-e", "x"}).err.find("expected --image FILE or --batch FILE, found neither"),
            std::string::npos);
  EXPECT_NE(refused({"--best_of", "3"}).find("expected a reward to choose by"), std::string::npos);
  EXPECT_NE(refused({"--request", "1,2"}).find("expected 3 values (instruction_following,"),
            std::string::npos);
  EXPECT_NE(refused({"--sweep", "detail"}).find("--sweep: unknown axis 'detail'"),
            std::string::npos);
  EXPECT_NE(
      refused({"--mask", in.at("wide.png")}).find("expected a mask of the image's size 16x16"),
      std::string::npos);
  EXPECT_NE(refused({"--size", "17x16"}).find("expected multiples of 2 pixels"), std::string::npos);
  const auto plain =
      run(tools::kEdit.run, {"-m", std::string(tests::source_dir()) + "/tests/golden/pipeline",
                             "-i", in.at("a.png"), "-e", "x", "--device", "cpu"});
  EXPECT_EQ(plain.code, 2);
  EXPECT_NE(plain.err.find("expected a model that edits images (a UNet of 8 input channels), found "
                           "a StableDiffusionPipeline"),
            std::string::npos);
}

TEST(EditSize, IsInstructPix2Pixs) {
  const auto size = [](int64_t width, int64_t height, int64_t resolution, int64_t unit) {
    const auto found = tools::edit_size(width, height, resolution, unit);
    return std::vector<int64_t>{found.width, found.height};
  };
  EXPECT_EQ(size(4000, 3000, 512, 64), (std::vector<int64_t>{512, 384}));
  EXPECT_EQ(size(1920, 1080, 512, 64), (std::vector<int64_t>{512, 320}));
  EXPECT_EQ(size(800, 300, 512, 64), (std::vector<int64_t>{512, 192}));
  EXPECT_EQ(size(512, 512, 512, 64), (std::vector<int64_t>{512, 512}));
  EXPECT_EQ(size(64, 64, 64, 64), (std::vector<int64_t>{64, 64}));
}

TEST(EditSize, CutsTheMiddle) {
  const at::Tensor image = at::arange(8, at::kFloat).view({1, 1, 8}).expand({3, 4, 8}) / 8;
  const at::Tensor cut = tools::fitted_middle(image, {4, 4});
  EXPECT_TRUE(at::allclose(cut[0][0], at::tensor({2.0, 3.0, 4.0, 5.0}, at::kFloat) / 8));
}

TEST(FinetuneEdit, TrainsAnEditorOfAnOrdinaryModelAndEdits) {
  const Place in = place("train");
  std::string lines;
  for (int i = 0; i < 12; ++i) {
    const std::string n = std::to_string(i);
    data::write_png(in.folder / ("data/s" + n + ".png"), at::rand({3, 16, 16}));
    data::write_png(in.folder / ("data/t" + n + ".png"), at::rand({3, 16, 16}));
    lines += R"({"file_name": "s)" + n + R"(.png", "edited_file_name": "t)" + n +
             R"(.png", "edit_prompt": "a red circle", "scores": {"detail_preserving": )" +
             std::to_string(i % 6) + "}}\n";
  }
  data::write_file(in.folder / "data/metadata.jsonl", lines);
  const auto train = [&](const std::vector<std::string>& more) {
    std::vector<std::string> arguments{"edit",
                                       "--data",
                                       in.at("data"),
                                       "-m",
                                       std::string(tests::source_dir()) + "/tests/golden/pipeline",
                                       "--max_train_steps",
                                       "2",
                                       "--train_batch_size",
                                       "2",
                                       "--eval_prompts",
                                       "1",
                                       "--eval_steps",
                                       "2",
                                       "--device",
                                       "cpu"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run(tools::kFinetune.run, arguments);
  };
  for (const char* kind : {"full", "lora"}) {
    const std::string out = in.at(std::string("run-") + kind);
    const auto done = train({"-o", out, "--train", kind});
    ASSERT_EQ(done.code, 0) << done.err;
    EXPECT_EQ(
        run(tools::kEdit.run, {"-m", out + "/model", "-i", in.at("a.png"), "-e", "a red circle",
                               "-o", in.at("out"), "--steps", "2", "--device", "cpu"})
            .code,
        0);
  }
  const auto pixels =
      train({"-o", in.at("pixels"), "--pixel_space", "--resolution", "16", "--block_out_channels",
             "8", "--block_out_channels", "16", "--norm_num_groups", "4"});
  ASSERT_EQ(pixels.code, 0) << pixels.err;
  EXPECT_TRUE(diffusion::load_pipeline(in.at("pixels/model")).vae.config.identity);
  EXPECT_NE(train({"-o", in.at("dry"), "--dry_run"}).out.find("trained values"), std::string::npos);
  EXPECT_FALSE(fs::exists(in.at("dry")));
  EXPECT_NE(train({"--axes", "beauty"}).err.find("unknown axis 'detail_preserving'"),
            std::string::npos);

  // An edit with a picture that cannot be read is named and left out, from kept latents too.
  data::write_file(in.folder / "data/t3.png", "no picture");
  for (int time = 0; time < 2; ++time) {
    const auto partly = train(
        {"-o", in.at("partly" + std::to_string(time)), "--latents", in.at("latents.safetensors")});
    EXPECT_EQ(partly.code, 2) << partly.err;
    EXPECT_NE(partly.err.find("1 edits left out"), std::string::npos) << partly.err;
    EXPECT_EQ(partly.err.find("t3.png") != std::string::npos, time == 0) << partly.err;
    EXPECT_TRUE(fs::exists(in.folder / ("partly" + std::to_string(time)) / "model"));
  }
  for (int i = 0; i < 12; ++i)
    data::write_file(in.folder / ("data/t" + std::to_string(i) + ".png"), "no picture");
  EXPECT_NE(train({"-o", in.at("none")}).err.find("expected edits whose two images can be read"),
            std::string::npos);
}

}  // namespace
