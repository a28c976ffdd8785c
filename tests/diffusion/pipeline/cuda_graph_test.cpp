#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include "diffusion/pipeline/generate.hpp"
#include "tests/support/tiny/pipeline.hpp"

namespace {

using diffusion::GraphCapture;
using Inputs = std::vector<at::Tensor>;

// Stands in for a CUDA graph: what was captured is done again where its inputs lie, whatever the
// caller holds by then.
GraphCapture doing_again(int& replays) {
  return [&replays](const std::function<void()>& work) {
    return [&replays, work] {
      ++replays;
      work();
    };
  };
}

TEST(GraphReplay, ReadsItsInputsAnewAndGivesOutputsOfTheirOwn) {
  int calls = 0, replays = 0;
  const auto f = diffusion::with_graph_replay(
      [&](const Inputs& in) {
        ++calls;
        return in[0] * in[1];
      },
      doing_again(replays));
  const at::Tensor first = f({at::full({2}, 3.0), at::full({2}, 2.0)});
  const at::Tensor second = f({at::full({2}, 5.0), at::full({2}, 7.0)});
  const at::Tensor third = f({at::full({2}, -1.0), at::full({2}, 4.0)});
  EXPECT_TRUE(at::equal(first, at::full({2}, 6.0)));
  EXPECT_TRUE(at::equal(second, at::full({2}, 35.0)));
  EXPECT_TRUE(at::equal(third, at::full({2}, -4.0)));
  EXPECT_EQ(replays, 3);  // one to see that it gives what the first call gave
  EXPECT_THROW(f({at::ones({3}), at::ones({3})}), c10::Error);
}

TEST(GraphReplay, WithoutACaptureItIsTheFunction) {
  int calls = 0;
  const auto f = diffusion::with_graph_replay(
      [&](const Inputs& in) {
        ++calls;
        return in[0];
      },
      {});
  const at::Tensor x = at::ones({2});
  EXPECT_TRUE(f({x}).is_same(x));
  EXPECT_EQ(calls, 1);
  EXPECT_FALSE(diffusion::cuda_graph_capture(at::kCPU));
}

std::string said(const GraphCapture& capture) {
  const auto f = diffusion::with_graph_replay([](const Inputs& in) { return in[0] + 1; }, capture);
  testing::internal::CaptureStderr();
  for (const double value : {1.0, 2.0, 3.0})
    EXPECT_TRUE(at::equal(f({at::full({2}, value)}), at::full({2}, value + 1)));
  return testing::internal::GetCapturedStderr();
}

TEST(GraphReplay, GoesOnWithoutACaptureThatCannotBeMadeOrIsWrong) {
  EXPECT_EQ(said([](const std::function<void()>&) -> std::function<void()> {
              TORCH_CHECK(false, "no capture");
            }),
            "laurel: warning: computing without CUDA graphs: no capture\n");
  int replays = 0;
  const auto f = diffusion::with_graph_replay(
      [n = std::make_shared<double>(0)](const Inputs& in) { return in[0] + (*n += 1); },
      doing_again(replays));
  testing::internal::CaptureStderr();
  EXPECT_EQ(f({at::zeros({1})}).item<double>(), 1);  // a graph of it would give 2
  EXPECT_NE(testing::internal::GetCapturedStderr().find("a replay differs"), std::string::npos);
}

// All that changes from step to step goes through the graph's inputs.
TEST(GraphReplay, ADenoiserIsTheSameAtEveryStep) {
  const at::NoGradGuard no_gradient;
  const diffusion::Pipeline pipeline = tests::tiny_pipeline();
  diffusion::Conditioning conditions;
  conditions.text = diffusion::encode_prompts(pipeline, {"a circle"});
  conditions.negative = diffusion::encode_prompts(pipeline, {""});
  int replays = 0;
  const auto plain = diffusion::guided_denoiser(pipeline.network, conditions, {.scale = 4});
  const auto recorded =
      diffusion::guided_denoiser(pipeline.network, conditions, {.scale = 4}, doing_again(replays));
  for (const double t : {900.0, 500.0, 20.5}) {
    const at::Tensor x = at::full({1, 4, 8, 8}, t / 1000);
    EXPECT_TRUE(at::equal(recorded(x, t), plain(x, t))) << t;
  }
  EXPECT_EQ(replays, 3);
}

}  // namespace
