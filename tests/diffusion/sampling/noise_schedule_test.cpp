#include "diffusion/sampling/noise_schedule.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "diffusion/pipeline/guidance.hpp"
#include "diffusion/sampling/sampler_catalog.hpp"

namespace fs = std::filesystem;

namespace {

using diffusion::Prediction;
using diffusion::sampler_of_flag;
using diffusion::Spacing;

fs::path scratch() {
  const fs::path folder = fs::path(testing::TempDir()) / "laurel_schedule";
  fs::create_directories(folder);
  return folder;
}

diffusion::SchedulerConfig config_from(const std::string& json) {
  data::write_file(scratch() / "scheduler_config.json", json);
  return diffusion::read_scheduler_config(scratch());
}

std::string message_of(const std::string& json) {
  try {
    config_from(json);
  } catch (const data::BadInput& error) {
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "accepted: " << json;
  return "";
}

TEST(SchedulerConfig, StableDiffusionsFileIsRead) {
  const auto config = config_from(R"({"_class_name": "PNDMScheduler", "_diffusers_version": "0.6.0",
    "beta_end": 0.012, "beta_schedule": "scaled_linear", "beta_start": 0.00085, "num_train_timesteps": 1000,
    "set_alpha_to_one": false, "skip_prk_steps": true, "steps_offset": 1, "trained_betas": null,
    "clip_sample": false})");
  EXPECT_EQ(config.class_name, "PNDMScheduler");
  EXPECT_EQ(config.sampler, sampler_of_flag("pndm"));
  EXPECT_EQ(config.prediction_type, Prediction::kEpsilon);
  EXPECT_EQ(config.timestep_spacing, Spacing::kClassDefault);
  EXPECT_FALSE(config.set_alpha_to_one);
}

TEST(SchedulerConfig, WrittenFilesReadBack) {
  diffusion::SchedulerConfig config;
  config.class_name = "DPMSolverMultistepScheduler";
  config.sampler = sampler_of_flag("dpm++2m");
  config.prediction_type = Prediction::kV;
  config.timestep_spacing = Spacing::kTrailing;
  config.sigma_schedule = diffusion::sampler_from_name("dpm++2m_karras", "").sigma_schedule;
  config.euler_at_final = true;
  config.beta_end = 0.02;
  diffusion::write_scheduler_config(scratch() / "round", config);
  const auto back = diffusion::read_scheduler_config(scratch() / "round");
  EXPECT_EQ(back.class_name, config.class_name);
  EXPECT_EQ(back.sampler, config.sampler);
  EXPECT_EQ(back.prediction_type, config.prediction_type);
  EXPECT_EQ(back.timestep_spacing, config.timestep_spacing);
  EXPECT_EQ(back.sigma_schedule, config.sigma_schedule);
  EXPECT_EQ(back.euler_at_final, true);
  EXPECT_EQ(back.beta_end, config.beta_end);
  EXPECT_EQ(diffusion::make_schedule(back).alphas_cumprod,
            diffusion::make_schedule(config).alphas_cumprod);
}

TEST(SchedulerConfig, EveryKeyOfAClassIsKept) {
  for (
      const char* json :
      {R"({"_class_name": "DPMSolverMultistepScheduler", "algorithm_type": "sde-dpmsolver++",
           "solver_type": "heun", "solver_order": 1, "lower_order_final": false, "euler_at_final": true,
           "final_sigmas_type": "sigma_min", "use_exponential_sigmas": true})",
       R"({"_class_name": "UniPCMultistepScheduler", "solver_type": "bh1", "solver_order": 3,
           "disable_corrector": [0, 1], "use_beta_sigmas": true})",
       R"({"_class_name": "DPMSolverSinglestepScheduler", "solver_order": 3, "lower_order_final": true})",
       R"({"_class_name": "PNDMScheduler", "skip_prk_steps": true, "set_alpha_to_one": true})",
       R"({"_class_name": "LCMScheduler", "original_inference_steps": 40, "timestep_scaling": 5.0})",
       R"({"_class_name": "TCDScheduler", "original_inference_steps": 30})",
       R"({"_class_name": "HeunDiscreteScheduler", "use_karras_sigmas": true})",
       R"({"_class_name": "DPMSolverSDEScheduler", "timestep_spacing": "trailing"})"}) {
    config_from(json);
    const auto config = diffusion::read_scheduler_config(scratch());
    diffusion::write_scheduler_config(scratch() / "kept", config);
    const auto written = data::read_json(scratch() / "kept" / "scheduler_config.json");
    const auto given = data::parse_json(json);
    for (const auto& [key, value] : given.items()) EXPECT_EQ(written[key], value) << key << json;
  }
}

TEST(SchedulerConfig, AbsentKeysAreTheClasssOwn) {
  const auto of = [](const std::string& name) {
    return config_from(R"({"_class_name": ")" + name + R"("})");
  };
  EXPECT_FALSE(of("PNDMScheduler").skip_prk_steps);
  EXPECT_TRUE(of("DDIMScheduler").skip_prk_steps);
  EXPECT_EQ(of("HeunDiscreteScheduler").beta_end, 0.012);
  EXPECT_EQ(of("HeunDiscreteScheduler").beta_schedule, "linear");
  EXPECT_EQ(of("UniPCMultistepScheduler").beta_end, 0.02);
  EXPECT_EQ(of("LCMScheduler").beta_schedule, "scaled_linear");
  EXPECT_EQ(of("TCDScheduler").original_inference_steps, 50);
  EXPECT_FALSE(of("DPMSolverSinglestepScheduler").lower_order_final);
  EXPECT_EQ(of("LMSDiscreteScheduler").sampler, sampler_of_flag("ddim"));  // for its noise schedule
}

TEST(SchedulerConfig, InfinityOfDiffusersIsNoError) {
  const auto config = config_from(
      R"({"_class_name": "DPMSolverMultistepScheduler", "lambda_min_clipped": -Infinity})");
  EXPECT_EQ(config.sampler, sampler_of_flag("dpm++2m"));
  EXPECT_EQ(config.beta_schedule, "linear");  // that class's default
}

TEST(SchedulerConfig, MistakesAreNamed) {
  EXPECT_NE(message_of(R"({"_class_name": "DDIMSheduler"})").find("did you mean DDIMScheduler"),
            std::string::npos);
  EXPECT_NE(message_of(R"({"beta_schedule": "scaled-linear"})").find("did you mean scaled_linear"),
            std::string::npos);
  EXPECT_NE(message_of(R"({"prediction_type": "eps"})").find("epsilon, v_prediction, sample"),
            std::string::npos);
  EXPECT_NE(message_of(R"({"beta_start": "low"})").find("beta_start"), std::string::npos);
  EXPECT_NE(message_of(R"({"beta_end": 1.5})").find("between 0 and 1"), std::string::npos);
  EXPECT_NE(message_of(R"({"thresholding": true})").find("thresholding"), std::string::npos);
  EXPECT_NE(message_of(R"({"trained_betas": [0.1]})").find("trained_betas"), std::string::npos);
  EXPECT_NE(message_of(R"({"_class_name": "UniPCScheduler"})").find("UniPCMultistepScheduler"),
            std::string::npos);
  EXPECT_NE(message_of(R"({"use_karras_sigmas": true, "use_beta_sigmas": true})").find("one of"),
            std::string::npos);
  EXPECT_NE(
      message_of(R"({"_class_name": "DPMSolverMultistepScheduler", "algorithm_type": "dpmsolver"})")
          .find("sde-dpmsolver++"),
      std::string::npos);
  EXPECT_NE(message_of(R"({"_class_name": "UniPCMultistepScheduler", "solver_order": 4})")
                .find("solver_order"),
            std::string::npos);
  for (const char* key : {"use_lu_lambdas", "use_flow_sigmas"}) {
    EXPECT_NE(message_of(R"({")" + std::string(key) + R"(": true})").find(key), std::string::npos);
  }
  EXPECT_NE(message_of(R"({"predict_x0": false})").find("predict_x0"), std::string::npos);
  EXPECT_NE(message_of(R"({"lambda_min_clipped": -5.1})").find("-5.1"), std::string::npos);
  EXPECT_NE(message_of(R"({"timestep_type": "continuous"})").find("discrete"), std::string::npos);
  EXPECT_NE(message_of(R"({"original_inference_steps": 2000})").find("1000"), std::string::npos);
  EXPECT_NE(message_of(R"({"solver_type": "heum", "_class_name": "DPMSolverMultistepScheduler"})")
                .find("did you mean heun"),
            std::string::npos);
  EXPECT_NE(message_of("[1]").find("JSON object"), std::string::npos);
  EXPECT_NE(message_of("{oops").find("JSON object"), std::string::npos);
}

TEST(SamplerNames, EverySpellingIsKnown) {
  const struct {
    const char* name;
    const char* flag;
    const char* sigmas = nullptr;
  } kCases[] = {
      {"DDIMScheduler", "ddim"},
      {"euler_a", "euler_a"},
      {"Euler a", "euler_a"},
      {"k_euler_ancestral", "euler_a"},
      {"k_heun", "heun"},
      {"PLMS", "pndm"},
      {"PNDMScheduler", "pndm"},
      {"dpm++2m", "dpm++2m"},
      {"DPM++ 2M Karras", "dpm++2m", "karras"},
      {"dpmpp_2m_sde", "dpm++2m_sde"},
      {"DPM++ 2M SDE Karras", "dpm++2m_sde", "karras"},
      {"DPM++ 2M SDE Exponential", "dpm++2m_sde", "exponential"},
      {"DPM++ SDE Karras", "dpm++sde", "karras"},
      {"DPMSolverSDEScheduler", "dpm++sde"},
      {"DPMSolverSinglestepScheduler", "dpm++2s"},
      {"uni_pc", "unipc"},
      {"UniPC beta", "unipc", "beta"},
      {"UniPCMultistepScheduler", "unipc"},
      {"LCM", "lcm"},
      {"tcd", "tcd"},
  };
  for (const auto& row : kCases) {
    const auto choice = diffusion::sampler_from_name(row.name, "x");
    EXPECT_STREQ(choice.sampler->flag, row.flag) << row.name;
    const char* suffix = choice.sigma_schedule == nullptr ? nullptr : choice.sigma_schedule->suffix;
    EXPECT_STREQ(suffix, row.sigmas) << row.name;
    const auto again = diffusion::sampler_from_name(diffusion::sampler_label(choice), "x");
    EXPECT_EQ(again.sampler, choice.sampler) << row.name;
    EXPECT_EQ(again.sigma_schedule, choice.sigma_schedule) << row.name;
  }
  const auto label = [](const char* name) {
    return diffusion::sampler_label(diffusion::sampler_from_name(name, "x"));
  };
  EXPECT_EQ(label("dpm++2m_sde_karras"), "DPM++ 2M SDE Karras");
  EXPECT_EQ(label("pndm"), "PLMS");
}

TEST(SamplerNames, EveryRowIsWholeAndItsNamesLeadToItAlone) {
  for (const diffusion::Sampler* row : diffusion::samplers()) {
    ASSERT_NE(row->stochastic, nullptr) << row->flag;
    ASSERT_NE(row->table, nullptr) << row->flag;
    EXPECT_EQ(diffusion::sampler_from_name(row->flag, "x").sampler, row);
    EXPECT_EQ(diffusion::sampler_from_name(row->label, "x").sampler, row);
    for (const char* alias : row->aliases)
      EXPECT_EQ(diffusion::sampler_from_name(alias, "x").sampler, row) << alias;
    const auto* first = diffusion::sampler_of_class(row->diffusers_class);
    EXPECT_TRUE(first == row ||
                (first->algorithm_type != nullptr && row->algorithm_type != nullptr))
        << row->flag << " cannot be told from " << first->flag;
  }
  EXPECT_EQ(diffusion::sampler_of_class("LMSDiscreteScheduler"), nullptr);
  EXPECT_THROW(sampler_of_flag("Euler"), c10::Error);
}

TEST(SamplerNames, UnknownOnesNameTheNearest) {
  const auto message = [](const char* name) -> std::string {
    try {
      diffusion::sampler_from_name(name, "--sampling_method");
    } catch (const data::BadInput& error) {
      return error.what();
    }
    return "accepted";
  };
  EXPECT_NE(message("dpm++ 2m kerras").find("did you mean DPM++ 2M Karras"), std::string::npos);
  EXPECT_NE(message("UniPCMultiStepSheduler").find("did you mean UniPCMultistepScheduler"),
            std::string::npos);
  EXPECT_NE(message("hun").find("did you mean heun"), std::string::npos);
  // Euler a, DDIM, LCM, ... have no sigmas to spread.
  for (const char* name : {"ddim karras", "lcm_karras", "euler_a_exponential", "karras", "dmi"})
    EXPECT_NE(message(name).find("--sampling_method: expected one of ddim"), std::string::npos)
        << name;
}

TEST(Schedule, FirstBetasByHand) {
  diffusion::SchedulerConfig config;
  config.beta_schedule = "linear";
  config.beta_start = 0.1;
  config.beta_end = 0.3;
  config.num_train_timesteps = 3;
  const auto bars = diffusion::make_schedule(config).alphas_cumprod;
  ASSERT_EQ(bars.size(), 3u);
  EXPECT_NEAR(bars[0], 0.9, 1e-7);
  EXPECT_NEAR(bars[1], 0.72, 1e-7);
  EXPECT_NEAR(bars[2], 0.504, 1e-7);
}

TEST(Schedule, EveryKindFallsFromOneTowardsZero) {
  for (const char* kind : {"linear", "scaled_linear", "squaredcos_cap_v2"}) {
    diffusion::SchedulerConfig config;
    config.beta_schedule = kind;
    const auto bars = diffusion::make_schedule(config).alphas_cumprod;
    for (size_t t = 1; t < bars.size(); ++t) ASSERT_LT(bars[t], bars[t - 1]) << kind;
    EXPECT_GT(bars.front(), 0.99);
    EXPECT_LT(bars.back(), 0.01);
  }
}

TEST(Schedule, ZeroTerminalSnrEndsAtZeroAndKeepsTheFirst) {
  diffusion::SchedulerConfig config;
  const double first = diffusion::make_schedule(config).alphas_cumprod[0];
  config.rescale_betas_zero_snr = true;
  EXPECT_THROW(diffusion::make_schedule(config), data::BadInput);
  config.prediction_type = Prediction::kV;
  const auto bars = diffusion::make_schedule(config).alphas_cumprod;
  EXPECT_EQ(bars.back(), 0.0);
  EXPECT_NEAR(bars.front(), first, 1e-6);
}

TEST(Schedule, TimestepsOfEachSpacing) {
  diffusion::SchedulerConfig config;
  EXPECT_EQ(diffusion::inference_timesteps(config, 4), (std::vector<int64_t>{751, 501, 251, 1}));
  config.timestep_spacing = Spacing::kTrailing;
  EXPECT_EQ(diffusion::inference_timesteps(config, 4), (std::vector<int64_t>{999, 749, 499, 249}));
  config.timestep_spacing = Spacing::kLinspace;
  EXPECT_EQ(diffusion::inference_timesteps(config, 4), (std::vector<int64_t>{999, 666, 333, 0}));
  for (const int64_t steps : {int64_t{0}, int64_t{1001}})
    EXPECT_THROW(diffusion::inference_timesteps(config, steps), data::BadInput);
  config.timestep_spacing = Spacing::kLeading;
  EXPECT_THROW(diffusion::inference_timesteps(config, 1000), data::BadInput);  // timestep 1000
}

TEST(Schedule, NoiseAndTargetsUndoEachOther) {
  at::Generator generator = at::detail::createCPUGenerator(1);
  const at::TensorOptions options(at::kDouble);
  const at::Tensor x0 = at::randn({3, 4, 2, 2}, generator, options),
                   noise = at::randn({3, 4, 2, 2}, generator, options);
  const at::Tensor t = at::tensor({0, 500, 999});
  for (const auto prediction : {Prediction::kEpsilon, Prediction::kV, Prediction::kSample}) {
    diffusion::SchedulerConfig config;
    config.prediction_type = prediction;
    const auto schedule = diffusion::make_schedule(config);
    const at::Tensor x = diffusion::add_noise(schedule, x0, noise, t);
    const at::Tensor target = diffusion::training_target(schedule, x0, noise, t);
    for (int64_t i = 0; i < 3; ++i) {
      const auto level = diffusion::level_at(schedule, t[i].item<int64_t>());
      const auto predicted = diffusion::predict(prediction, level, target[i], x[i]);
      EXPECT_TRUE(at::allclose(predicted.x0, x0[i], 1e-9, 1e-9));
      EXPECT_TRUE(at::allclose(predicted.epsilon, noise[i], 1e-9, 1e-9));
    }
  }
}

TEST(Schedule, AddNoiseRefusesOneTimestepForAll) {
  const at::Tensor x = at::zeros({2, 4, 2, 2});
  EXPECT_THROW(diffusion::add_noise(diffusion::make_schedule({}), x, x, at::tensor({3})),
               c10::Error);
}

TEST(Schedule, AddNoiseAtLevelsByHand) {
  const at::Tensor x = at::full({2, 1, 1, 1}, 3.0f), noise = at::full({2, 1, 1, 1}, 5.0f);
  const auto column = [](double a, double b) { return at::tensor({a, b}).view({2, 1, 1, 1}); };
  const diffusion::NoiseLevels levels{.signal = column(0.8, 1), .noise = column(0.6, 0)};  // fp64
  const at::Tensor noisy = diffusion::add_noise(levels, x, noise);
  EXPECT_EQ(noisy.scalar_type(), at::kFloat);
  EXPECT_NEAR(noisy[0].item<double>(), 0.8 * 3 + 0.6 * 5, 1e-6);
  EXPECT_EQ(noisy[1].item<double>(), 3);
}

TEST(Guide, WeighsTheHalves) {
  const at::Tensor output = at::cat({at::full({1, 1, 1, 1}, 1.0), at::full({1, 1, 1, 1}, 3.0)});
  EXPECT_EQ(diffusion::guide(output, 2.0).item<double>(), 5.0);
  EXPECT_EQ(diffusion::guide(output, 1.0).item<double>(), 3.0);
  EXPECT_THROW(diffusion::guide(at::zeros({3, 1, 1, 1}), 2.0), c10::Error);
}

}  // namespace
