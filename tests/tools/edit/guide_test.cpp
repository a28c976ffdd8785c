// laurel edit --guide.

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "data/images/formats/png_text.hpp"
#include "data/images/image_io.hpp"
#include "tests/support/edit_command.hpp"
#include "tools/edit/command.hpp"

namespace {

namespace fs = std::filesystem;

using tests::Place;
using tests::place;
using tests::run;

// The samples of an edit compete as those of laurel sample do (tests/tools/sample/guides).
TEST(EditGuide, FollowsAReward) {
  const Place in = place("guided");
  const auto light = [&](const std::string& name, const std::vector<std::string>& more) {
    std::vector<std::string> arguments{
        "-i",        in.at("a.png"),      "-e",      "make it red", "-o",
        in.at(name), "--sampling_method", "ddim",    "--eta",       "1",
        "-m",        in.at("model"),      "--steps", "4",           "--device",
        "cpu"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const auto done = run(tools::kEdit.run, arguments);
    EXPECT_EQ(done.code, 0) << done.err;
    return data::read_image(in.folder / name / "00000-0.png").mean().item<double>();
  };
  const double plain = light("plain", {});
  for (const char* guide : {"particles=4", "per_step=2", "noise=4", "gradient=0.5"}) {
    EXPECT_GT(light(guide, {"--guide", guide, "--reward", "brightness"}), plain) << guide;
    EXPECT_NE(
        data::read_png_text(in.folder / guide / "00000-0.png").at("parameters").find("Guide: "),
        std::string::npos);
    const bool logs = fs::exists(in.folder / guide / "guide.jsonl");
    EXPECT_EQ(logs, std::string(guide) != "gradient=0.5") << guide;
  }
  const auto refused = run(
      tools::kEdit.run, {"-m", in.at("model"), "-o", in.at("out"), "-i", in.at("a.png"), "-e", "x",
                         "--guide", "particles=4", "--reward", "brightness", "--eta", "0"});
  EXPECT_EQ(refused.code, 2);
  EXPECT_NE(refused.err.find("expected a sampling method that draws noise"), std::string::npos);
}

}  // namespace
