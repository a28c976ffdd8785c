#include "tools/sample/guides/deltas.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include "diffusion/checkpoints/diffusers_folder.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/refusal.hpp"
#include "tests/support/tiny/pipeline.hpp"

namespace fs = std::filesystem;

namespace {

// A folder with a model, and the network that another tuning of it has.
struct TunedModel {
  fs::path folder;
  diffusion::Pipeline base, tuned;
  std::string network() const { return (folder / "tuned" / "unet").string(); }
};

TunedModel tuned_model(const std::string& name) {
  TunedModel made{tests::fresh_folder(name), tests::tiny_pipeline(), tests::tiny_pipeline()};
  auto generator = at::detail::createCPUGenerator(9);
  diffusion::for_each_tensor(made.tuned.network, "", [&](const std::string&, at::Tensor& tensor) {
    tensor = tensor + 0.05 * at::randn(tensor.sizes(), generator);
  });
  diffusion::save_pipeline(made.folder / "model", made.base, at::kFloat);
  diffusion::save_network(made.folder / "tuned", made.tuned.network, at::kFloat);
  return made;
}

at::Tensor image_of(const diffusion::Pipeline& pipeline, const std::vector<tools::Delta>& deltas) {
  diffusion::GenerateOptions options;
  options.sampler = {.sampler = &diffusion::kDdim, .steps = 3, .on_step = {}};
  options.micro_batch = 2;
  options.guide = [&](const std::vector<diffusion::ImageRequest>& batch) {
    diffusion::BatchGuide guide;
    tools::lead_by_deltas(deltas, pipeline, batch, options, guide);
    return guide;
  };
  at::Tensor images;
  diffusion::generate(pipeline,
                      {{.prompt = "a red circle", .negative_prompt = "", .seed = 4, .latents = {}},
                       {.prompt = "a star", .negative_prompt = "", .seed = 5, .latents = {}}},
                      options, [&](const auto& batch) { images = batch.latents; });
  return images;
}

TEST(Deltas, LeadTheModelToTheTunedOne) {
  const TunedModel made = tuned_model("led");
  const auto load = [&](const std::string& strength) {
    return tools::load_deltas({.delta = {made.network() + strength}, .base = {}}, made.base);
  };
  const at::Tensor base = image_of(made.base, {}), tuned = image_of(made.tuned, {});
  EXPECT_GT((base - tuned).abs().max().item<double>(), 1e-2);
  EXPECT_TRUE(at::allclose(image_of(made.base, load("")), tuned, 1e-4, 1e-4));
  EXPECT_TRUE(at::equal(image_of(made.base, load("=0")), base));
  const at::Tensor half = image_of(made.base, load("=0.5"));
  EXPECT_GT((half - base).abs().max().item<double>(), 1e-3);
  EXPECT_GT((half - tuned).abs().max().item<double>(), 1e-3);
  EXPECT_EQ(load("=0.5")[0].name, "unet 0.5");
}

// A model that the delta was not tuned from moves as the difference says, and not when both are
// the same.
TEST(Deltas, OfAnotherBaseAreItsDifference) {
  const TunedModel made = tuned_model("other");
  const std::string model = (made.folder / "model").string();
  const at::Tensor tuned = image_of(made.tuned, {});
  const auto none = tools::load_deltas({.delta = {model}, .base = model}, made.tuned);
  EXPECT_TRUE(at::equal(image_of(made.tuned, none), tuned));
  const auto more = tools::load_deltas({.delta = {made.network()}, .base = model}, made.tuned);
  EXPECT_GT((image_of(made.tuned, more) - tuned).abs().max().item<double>(), 1e-2);
}

TEST(Deltas, ThatDoNotFitAreRefused) {
  const TunedModel made = tuned_model("refused");
  const auto refused = [&](const std::vector<std::string>& delta, const std::string& base) {
    return refusal([&] { tools::load_deltas({.delta = delta, .base = base}, made.base); });
  };
  EXPECT_NE(refused({"/nowhere/x"}, "").find("--delta: /nowhere/x: expected a LoRA"),
            std::string::npos);
  EXPECT_NE(refused({made.network() + "=11"}, "").find("expected a strength in [-10, 10]"),
            std::string::npos);
  EXPECT_NE(refused({made.network() + "=x"}, "").find("found 'x'"), std::string::npos);
  EXPECT_NE(refused({}, "/nowhere").find("--delta_base: expected a --delta"), std::string::npos);
  diffusion::Pipeline other = made.base;
  other.vae.config.scaling_factor = 0.5;
  diffusion::save_pipeline(made.folder / "scaled", other, at::kFloat);
  EXPECT_NE(refused({(made.folder / "scaled").string()}, "").find("expected the latent space"),
            std::string::npos);
  other = made.base;
  other.scheduler.beta_end = 0.5;
  diffusion::save_pipeline(made.folder / "noisier", other, at::kFloat);
  EXPECT_NE(refused({(made.folder / "noisier").string()}, "").find("expected the noise schedule"),
            std::string::npos);
}

}  // namespace
