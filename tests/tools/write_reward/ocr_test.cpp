// The worked example of docs/write-reward.md, where tesseract is installed.

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "data/base/files.hpp"
#include "data/images/draw_text.hpp"
#include "rewards/registry/registry.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/paths.hpp"

namespace {

TEST(WriteRewardOcr, TheProgramOfThePageReadsText) {
  if (std::system("tesseract --version > /dev/null 2>&1") != 0 ||
      std::system("python3 --version > /dev/null 2>&1") != 0)
    GTEST_SKIP() << "SKIPPED: needs tesseract (Debian's tesseract-ocr) and python3";
  const std::string page = data::read_file(std::filesystem::path(tests::source_dir()) / "docs" /
                                           "write-reward.md"),
                    begin = "cat > ocr_letters.py <<'END'\n";
  const size_t start = page.find(begin) + begin.size(), end = page.find("\nEND\n", start);
  ASSERT_NE(end, std::string::npos);
  const auto program = tests::fresh_folder() / "ocr_letters.py";
  data::write_file(program, page.substr(start, end + 1 - start));

  rewards::RewardSources sources;
  sources.definitions = {"letters=program:python3 " + program.string(), "clean=5 - letters"};
  const at::Tensor blank = at::zeros({3, 256, 512});
  const at::Tensor images = at::stack({blank, data::draw_text(blank, "HELLO 42 WORLD")});
  const at::Tensor letters = rewards::make_reward("letters", sources).score({images, {"", ""}});
  EXPECT_EQ(letters[0].item<double>(), 0);
  EXPECT_EQ(letters[1].item<double>(), 12);
  const at::Tensor clean = rewards::make_reward("clean", sources).score({images, {"", ""}});
  EXPECT_GT(clean[0].item<double>(), clean[1].item<double>());
}

}  // namespace
