#include "diffusion/networks/vae/vae.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/autocast_mode.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/train/optimizers.hpp"
#include "data/weights/safetensors.hpp"
#include "diffusion/networks/vae/build.hpp"
#include "diffusion/networks/vae/tiling.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/golden.hpp"
#include "tests/support/gradient_check.hpp"

namespace {

namespace fs = std::filesystem;
using diffusion::Vae;

const fs::path kGolden = golden::folder();

// Largest difference over the largest value.
double relative_error(const at::Tensor& found, const at::Tensor& expected) {
  return (found - expected).abs().max().item<double>() / expected.abs().max().item<double>();
}

Vae tiny_vae() {
  auto generator = at::detail::createCPUGenerator(1);
  diffusion::VaeConfig config;
  config.block_out_channels = {4, 8};
  config.norm_num_groups = 2;
  config.latent_channels = 3;
  config.scaling_factor = 0.5;
  config.shift_factor = 0.25;
  return diffusion::make_vae(config, generator);
}

at::Tensor random_images(at::IntArrayRef shape) {
  auto generator = at::detail::createCPUGenerator(2);
  return at::empty(shape, at::kFloat).uniform_(0, 1, generator);
}

// The message of the BadInput that `f` throws; it must be one line.
template <class F>
std::string complaint(const F& f) {
  try {
    f();
  } catch (const data::BadInput& error) {
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "expected BadInput";
  return "";
}

class VaeGolden : public testing::TestWithParam<const char*> {};

TEST_P(VaeGolden, OutputsAndGradientsAreDiffusers) {
  const std::string kind = GetParam();
  const auto golden = data::read_safetensors(kGolden / ("vae_" + kind + ".safetensors"));
  Vae vae = diffusion::load_vae(kGolden / ("vae_" + kind));
  const auto params = train::parameters_of(vae, "");
  const at::Tensor images = golden.tensors.at("images").clone().requires_grad_(true);
  const auto moments = diffusion::vae_encode(vae, images);
  ::golden::expect_agreement("VAE, encode", relative_error(moments.mean, golden.tensors.at("mean")),
                             1e-5);
  EXPECT_LT(relative_error(moments.logvar, golden.tensors.at("logvar")), 1e-5);
  const at::Tensor decoded = diffusion::vae_decode(vae, moments.mean);
  ::golden::expect_agreement("VAE, decode", relative_error(decoded, golden.tensors.at("decoded")),
                             1e-5);
  (decoded * golden.tensors.at("loss_weights")).sum().backward();
  EXPECT_LT(relative_error(images.grad(), golden.tensors.at("grad.images")), 1e-4);
  int compared = 0;
  for (const auto& param : params) {
    const auto expected = golden.tensors.find("grad." + param.name);
    if (expected == golden.tensors.end()) continue;
    EXPECT_LT(relative_error(param.value.grad(), expected->second), 1e-4) << param.name;
    ++compared;
  }
  EXPECT_EQ(compared, 2);
}

INSTANTIATE_TEST_SUITE_P(Kinds, VaeGolden, testing::Values("sd", "later"));

TEST(Vae, TilesAreDiffusers) {
  const auto golden = data::read_safetensors(kGolden / "vae_tiles.safetensors");
  Vae vae = diffusion::load_vae(kGolden / "vae_sd");
  diffusion::enable_tiling(vae);
  EXPECT_EQ(vae.tile_size, 16);
  for (const bool slicing : {false, true}) {
    vae.use_slicing = slicing;
    for (const std::string i : {"0", "1", "2", "3", "4"}) {
      const at::Tensor mean = golden.tensors.at(i + ".mean");
      EXPECT_LT(
          relative_error(diffusion::vae_encode(vae, golden.tensors.at(i + ".images")).mean, mean),
          1e-5)
          << i;
      EXPECT_LT(relative_error(diffusion::vae_decode(vae, mean), golden.tensors.at(i + ".decoded")),
                1e-5)
          << i;
    }
  }
  vae.tile_size = 0;  // whole: another result, or nothing was tiled above
  const at::Tensor whole = diffusion::vae_decode(vae, golden.tensors.at("0.mean"));
  EXPECT_GT(relative_error(whole, golden.tensors.at("0.decoded")), 1e-4);
}

TEST(Vae, OneTileOrLessIsTheWhole) {
  Vae vae = tiny_vae();
  const at::Tensor images = random_images({3, 3, 16, 8});
  const auto whole = diffusion::vae_encode(vae, images);
  const at::Tensor decoded = diffusion::vae_decode(vae, whole.mean);
  diffusion::enable_tiling(vae, 16);
  EXPECT_TRUE(at::equal(diffusion::vae_encode(vae, images).mean, whole.mean));
  EXPECT_TRUE(at::equal(diffusion::vae_decode(vae, whole.mean), decoded));
  vae.use_slicing = true;
  EXPECT_LT(relative_error(diffusion::vae_decode(vae, whole.mean), decoded), 1e-5);
  EXPECT_EQ(diffusion::vae_decode(vae, whole.mean).sizes(), decoded.sizes());
}

TEST(Vae, BlendsTiles) {
  const at::Tensor a = at::tensor({9., 8., 7., 6.}).view({1, 1, 4, 1});
  const at::Tensor b = at::tensor({1., 2., 3.}).view({1, 1, 3, 1});
  // rows 7, 6 of a over 1, 2 of b: 7 1 + 1 0, 6 1/2 + 2 1/2
  EXPECT_TRUE(at::equal(diffusion::blend_tiles(a, b, 2, 2).flatten(), at::tensor({7., 4., 3.})));
  EXPECT_TRUE(at::equal(diffusion::blend_tiles(a, b, 2, 0), b));
  const at::Tensor all = diffusion::blend_tiles(a, b, 2, 9);  // as many as b has: 8, 7, 6
  EXPECT_TRUE(at::allclose(all.flatten(), at::tensor({8., 7 * 2 / 3. + 2 / 3., 6 / 3. + 2.})));
  const auto turned = [](const at::Tensor& x) { return x.transpose(2, 3); };
  EXPECT_TRUE(at::equal(turned(diffusion::blend_tiles(turned(a), turned(b), 3, 2)),
                        diffusion::blend_tiles(a, b, 2, 2)));
  EXPECT_THROW(diffusion::blend_tiles(a, turned(b), 2, 2), c10::Error);
  EXPECT_THROW(diffusion::blend_tiles(a, b, 1, 2), c10::Error);
}

TEST(Vae, TilesOfTheIdentityAreTheImage) {
  const auto same = [](const at::Tensor& x) { return x; };
  for (const int64_t width : {3, 8, 11, 24, 29}) {
    const at::Tensor x = random_images({2, 3, 17, width});
    EXPECT_TRUE(at::allclose(diffusion::code_in_tiles(same, x, {8, 8}), x, 1e-6, 1e-6)) << width;
  }
  EXPECT_THROW(diffusion::code_in_tiles(same, at::zeros({1, 3, 9, 9}), {6, 6}), c10::Error);
}

TEST(Vae, RefusesTilesTooSmallOrUneven) {
  Vae vae = tiny_vae();  // factor 2
  EXPECT_NE(complaint([&] { diffusion::enable_tiling(vae, 4); }).find("a multiple of 8 pixels"),
            std::string::npos);
  EXPECT_NE(complaint([&] { diffusion::enable_tiling(vae, 12); }).find("found 12"),
            std::string::npos);
  vae.config.sample_size = 30;
  EXPECT_NE(complaint([&] { diffusion::enable_tiling(vae); }).find("its sample_size; name a size"),
            std::string::npos);
  EXPECT_EQ(vae.tile_size, 0);
}

TEST(Vae, ReadsTheConfigOfDiffusers) {
  const auto sd = diffusion::load_vae(kGolden / "vae_sd").config;
  EXPECT_EQ(sd.block_out_channels, (std::vector<int64_t>{4, 8, 8}));
  EXPECT_EQ(diffusion::vae_factor(sd), 4);
  EXPECT_DOUBLE_EQ(sd.scaling_factor, 0.18215);
  EXPECT_TRUE(sd.use_quant_conv);
  const auto later = diffusion::load_vae(kGolden / "vae_later").config;
  EXPECT_DOUBLE_EQ(later.shift_factor, 0.1159);
  EXPECT_FALSE(later.use_post_quant_conv);
  EXPECT_FALSE(later.mid_block_add_attention);
}

TEST(Vae, GradientOfDecodingIsTheDifferenceQuotients) {
  Vae vae = tiny_vae();
  for_each_tensor(vae, "", [](const std::string&, at::Tensor& t) { t = t.to(at::kDouble); });
  const at::Tensor latents = random_images({1, 3, 2, 2}).to(at::kDouble);
  const auto loss = [&](const at::Tensor& x) {
    return diffusion::vae_encode(vae, diffusion::vae_decode(vae, x)).logvar.square().sum();
  };
  EXPECT_LT(gradient_error(loss, latents), 1e-6);
}

TEST(Vae, SavedAndLoadedIsTheSame) {
  Vae vae = tiny_vae();
  const fs::path folder = tests::fresh_folder();
  diffusion::save_vae(folder, vae, at::kFloat);
  const Vae again = diffusion::load_vae(folder);
  const at::Tensor images = random_images({2, 3, 8, 8});
  EXPECT_TRUE(at::equal(diffusion::vae_encode(vae, images).mean,
                        diffusion::vae_encode(again, images).mean));
  EXPECT_DOUBLE_EQ(again.config.scaling_factor, 0.5);
  EXPECT_DOUBLE_EQ(again.config.shift_factor, 0.25);
  EXPECT_TRUE(again.config.force_upcast);
  vae.config.force_upcast = false;
  diffusion::save_vae(folder, vae, at::kFloat);
  EXPECT_FALSE(diffusion::load_vae(folder).config.force_upcast);
  diffusion::save_vae(folder, vae, at::kHalf);
  const auto half = diffusion::vae_encode(diffusion::load_vae(folder), images).mean;
  const double error = relative_error(half, diffusion::vae_encode(vae, images).mean);
  EXPECT_LT(error, 1e-2);
  EXPECT_GT(error, 0);
}

// Folders that were made with diffusers before 0.15, Stable Diffusion 1.5's among them.
TEST(Vae, ReadsTheEarlierNamesOfTheAttention) {
  const fs::path folder = tests::fresh_folder(),
                 file = folder / "diffusion_pytorch_model.safetensors";
  Vae vae = tiny_vae();
  diffusion::save_vae(folder, vae, at::kFloat);
  data::Weights weights = data::read_safetensors(file), earlier;
  for (const auto& [original, tensor] : weights.tensors) {
    std::string name = original;
    for (const auto& [now, then] :
         std::initializer_list<std::pair<std::string, std::string>>{{"to_q.", "query."},
                                                                    {"to_k.", "key."},
                                                                    {"to_v.", "value."},
                                                                    {"to_out.0.", "proj_attn."}}) {
      const size_t place = name.find(now);
      if (place != std::string::npos) name.replace(place, now.size(), then);
    }
    earlier.tensors[name] = tensor.clone();
  }
  EXPECT_TRUE(data::has(earlier, "decoder.mid_block.attentions.0.proj_attn.bias"));
  data::write_safetensors(file, earlier);
  const at::Tensor latents = at::ones({1, 3, 2, 2});
  EXPECT_TRUE(at::equal(diffusion::vae_decode(diffusion::load_vae(folder), latents),
                        diffusion::vae_decode(vae, latents)));
}

TEST(Vae, AnImageDoesNotDependOnItsBatch) {
  const Vae vae = tiny_vae();
  const at::Tensor images = random_images({3, 3, 8, 16});
  const auto all = diffusion::vae_encode(vae, images);
  const auto one = diffusion::vae_encode(vae, images.narrow(0, 1, 1));
  EXPECT_LT(relative_error(one.mean, all.mean.narrow(0, 1, 1)), 1e-5);
  EXPECT_EQ(all.mean.sizes(), (std::vector<int64_t>{3, 3, 4, 8}));
}

// In fp16 its activations may overflow: where its config asks, they stay fp32. bf16 cannot
// overflow.
TEST(Vae, IsComputedInFp32WhereFp16WouldOverflow) {
  Vae vae = tiny_vae();
  const at::NoGradGuard no_gradient;
  const at::Tensor latents = at::ones({1, vae.config.latent_channels, 4, 4});
  const at::Tensor fp32 = diffusion::vae_decode(vae, latents);
  const auto decoded = [&](at::ScalarType type, bool upcast) {
    vae.config.force_upcast = upcast;
    at::autocast::set_autocast_dtype(at::kCPU, type);
    at::autocast::set_autocast_enabled(at::kCPU, true);
    const at::Tensor images = diffusion::vae_decode(vae, latents);
    const bool still = at::autocast::is_autocast_enabled(at::kCPU);
    at::autocast::set_autocast_enabled(at::kCPU, false);
    at::autocast::clear_cache();
    EXPECT_TRUE(still);
    return images;
  };
  EXPECT_TRUE(at::equal(decoded(at::kHalf, true), fp32));
  EXPECT_EQ(decoded(at::kHalf, false).scalar_type(), at::kHalf);
  EXPECT_EQ(decoded(at::kBFloat16, true).scalar_type(), at::kBFloat16);
}

TEST(Vae, ScalesLatentsAndImages) {
  const Vae vae = tiny_vae();
  const at::Tensor raw = at::full({1, 3, 2, 2}, 1.25);
  const at::Tensor unit = diffusion::scaled_latents(vae.config, raw);  // 0.5 (1.25 - 0.25)
  EXPECT_DOUBLE_EQ(unit.mean().item<double>(), 0.5);
  EXPECT_TRUE(at::equal(diffusion::raw_latents(vae.config, unit), raw));
  const at::Tensor images = diffusion::latents_to_images(vae, unit);
  EXPECT_TRUE(at::equal(images, (diffusion::vae_decode(vae, raw) / 2 + 0.5).clamp(0, 1)));
  const at::Tensor mean = diffusion::vae_encode(vae, images * 2 - 1).mean;
  EXPECT_TRUE(at::equal(diffusion::images_to_latents(vae, images), (mean - 0.25) * 0.5));
}

TEST(Vae, RefusesImagesThatDoNotHalve) {
  const Vae vae = tiny_vae();
  EXPECT_THROW(diffusion::vae_encode(vae, at::zeros({1, 3, 8, 7})), c10::Error);
  EXPECT_THROW(diffusion::vae_encode(vae, at::zeros({1, 4, 8, 8})), c10::Error);
  EXPECT_THROW(diffusion::vae_decode(vae, at::zeros({1, 4, 8, 8})), c10::Error);
}

TEST(Vae, NamesWhatIsWrongWithAFolder) {
  Vae vae = tiny_vae();
  const fs::path folder = tests::fresh_folder();
  EXPECT_NE(complaint([&] { diffusion::load_vae(folder); }).find("config.json"), std::string::npos);
  diffusion::save_vae(folder, vae, at::kFloat);
  const std::string config = data::read_file(folder / "config.json");
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string changed = config;
    changed.replace(changed.find(from), from.size(), to);
    data::write_file(folder / "config.json", changed);
    return complaint([&] { diffusion::load_vae(folder); });
  };
  EXPECT_NE(with("\"norm_num_groups\": 2", "\"norm_num_groups\": 3").find("multiples"),
            std::string::npos);
  EXPECT_NE(with("\"act_fn\": \"silu\"", "\"act_fn\": \"relu\"").find("act_fn"), std::string::npos);
  EXPECT_NE(with("DownEncoderBlock2D", "AttnDownEncoderBlock2D").find("not supported"),
            std::string::npos);
  EXPECT_NE(with("\"scaling_factor\": 0.5", "\"scaling_factor\": 0").find("> 0"),
            std::string::npos);
  EXPECT_NE(with("{", "[").find("expected a JSON object"), std::string::npos);
  EXPECT_NE(with("\"use_quant_conv\": true", "\"use_quant_conv\": false").find("no place"),
            std::string::npos);
  EXPECT_NE(with("\"latent_channels\": 3", "\"latent_channels\": 4").find("shape"),
            std::string::npos);
  EXPECT_NE(with("\"layers_per_block\": 1", "\"layers_per_block\": 2").find("missing"),
            std::string::npos);
}

TEST(Vae, RefusesAConfigThatDoesNotFit) {
  auto generator = at::detail::createCPUGenerator(1);
  EXPECT_THROW(diffusion::make_vae({.block_out_channels = {}}, generator), data::BadInput);
  EXPECT_THROW(diffusion::make_vae({.layers_per_block = 0}, generator), data::BadInput);
  EXPECT_THROW(diffusion::make_vae({.block_out_channels = {48}, .norm_num_groups = 32}, generator),
               data::BadInput);
}

}  // namespace
