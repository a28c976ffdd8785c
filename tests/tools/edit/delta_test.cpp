// laurel edit --delta.

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include "data/images/formats/png_text.hpp"
#include "data/images/image_io.hpp"
#include "tests/support/edit_command.hpp"
#include "tools/edit/command.hpp"

namespace {

namespace fs = std::filesystem;

using tests::Place;
using tests::run;

// tests::place, and another tuning of its network as tuned/.
Place place_with_tuned(const std::string& name) {
  const Place in = tests::place(name);
  auto pipeline = tests::tiny_editor();
  tests::unsilence(diffusion::unet_of(pipeline.network));
  auto generator = at::detail::createCPUGenerator(9);
  diffusion::for_each_tensor(pipeline.network, "", [&](const std::string&, at::Tensor& tensor) {
    tensor = tensor + 0.05 * at::randn(tensor.sizes(), generator);
  });
  diffusion::save_pipeline(in.folder / "tuned", pipeline, at::kFloat);
  return in;
}

std::vector<std::string> edit_words(const Place& in,
                                    const std::string& model,
                                    const std::string& output,
                                    const std::vector<std::string>& more) {
  std::vector<std::string> words{"-m",      in.at(model),  "-i",       in.at("a.png"),
                                 "-e",      "make it red", "-o",       in.at(output),
                                 "--steps", "3",           "--device", "cpu"};
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

TEST(EditDelta, LeadsTheEditorToTheTunedOne) {
  const Place in = place_with_tuned("led");
  const auto edited = [&](const std::string& model, const std::string& output,
                          const std::vector<std::string>& more) {
    const auto done = run(tools::kEdit.run, edit_words(in, model, output, more));
    EXPECT_EQ(done.code, 0) << done.err;
    return data::read_image(in.folder / output / "00000-0.png");
  };
  const auto far = [](const at::Tensor& a, const at::Tensor& b) {
    return (a - b).abs().max().item<double>();
  };
  const at::Tensor base = edited("model", "base", {}), tuned = edited("tuned", "tuned-edit", {});
  EXPECT_GT(far(base, tuned), 0.02);
  const at::Tensor led = edited("model", "led", {"--delta", in.at("tuned")});
  EXPECT_LE(far(led, tuned), 2.0 / 255);  // but for rounding
  EXPECT_EQ(far(edited("model", "none", {"--delta", in.at("tuned") + "=0"}), base), 0);
  // Of another base only the difference counts: here there is none.
  const at::Tensor other =
      edited("tuned", "other", {"--delta", in.at("model"), "--delta_base", in.at("model")});
  EXPECT_EQ(far(other, tuned), 0);
  const auto text = data::read_png_text(in.folder / "led" / "00000-0.png").at("parameters");
  EXPECT_NE(text.find("Delta: tuned 1"), std::string::npos) << text;
}

TEST(EditDelta, ThatDoesNotFitIsRefused) {
  const Place in = place_with_tuned("refused");
  diffusion::save_pipeline(in.folder / "drawer", tests::tiny_pipeline(), at::kFloat);
  auto branch = tests::native_branch();
  branch.axes = {"one", "two"};
  diffusion::save_pipeline(in.folder / "axes", tests::tiny_editor(branch), at::kFloat);
  struct Case {
    std::string delta, expected;
  };
  for (const auto& [delta, expected] : {
           Case{"/nowhere/x", "--delta: /nowhere/x: expected a LoRA"},
           Case{in.at("tuned") + "=11", "expected a strength in [-10, 10]"},
           Case{in.at("drawer"), "expected a model that edits images where"},
           Case{in.at("axes"), "expected the axes of requested reward"},
       }) {
    const auto done = run(tools::kEdit.run, edit_words(in, "model", "out", {"--delta", delta}));
    EXPECT_EQ(done.code, 2) << delta;
    EXPECT_NE(done.err.find(expected), std::string::npos) << done.err;
  }
}

}  // namespace
