#include "tools/finetune/methods/method_options.hpp"

#include <gtest/gtest.h>

#include "data/base/files.hpp"
#include "finetune/policy/methods/policy_methods.hpp"
#include "tests/support/refusal.hpp"
#include "tools/finetune/policy_options.hpp"

namespace {

// What `laurel finetune ARGUMENTS` resolves.
struct Parsed {
  tools::FinetuneCommand command;
  std::string configuration;
};
Parsed parsed(const std::vector<std::string>& arguments) {
  Parsed result;
  tools::Options options("finetune", "");
  tools::declare_finetune(options, result.command);
  const auto words = options.parse(arguments).positional;
  tools::resolve_finetune(result.command, options, words);
  result.configuration = tools::finetune_configuration(result.command, options);
  return result;
}
bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(MethodOptions, AreThoseOfEveryMethodInOrder) {
  std::vector<std::string> names;
  for (const auto declare : tools::method_options()) {
    tools::Options options("finetune", "");
    names.push_back(declare(options)().name);
  }
  std::vector<std::string> expected;
  for (const auto& method : finetune::policy_methods()) expected.push_back(method.name);
  EXPECT_EQ(names, expected);
}

TEST(MethodOptions, TheMethodIsThatOfTheFirstWordWithItsOptions) {
  for (const auto& method : finetune::policy_methods()) {
    const auto found = parsed({method.name}).command;
    EXPECT_EQ(found.config.method.name, method.name);
    EXPECT_EQ(found.output_dir, "runs/" + method.name);
  }
  const auto prdp = parsed({"prdp", "--units", "mean"}).command.config.method;
  EXPECT_DOUBLE_EQ(prdp.clip_range_in_nats(1e-4, {.steps = 50, .dimensions = 16384}), 1.6384);
  const auto ddpo = parsed({"--adv_clip_max=0.5", "ddpo"}).command.config.method;
  const at::Tensor advantages = ddpo.labels(at::tensor({0.0, 1.0}, at::kDouble), {0, 0});
  EXPECT_DOUBLE_EQ(advantages[1].item<double>(), 0.5);
  const auto over_epoch = parsed({"ddpo", "--advantage_group", "epoch"}).command.config.method;
  EXPECT_LT(
      over_epoch.labels(at::tensor({0.0, 1.0, 5.0}, at::kDouble), {0, 0, 1})[1].item<double>(), 0);
}

TEST(MethodOptions, TheConfigurationHasThoseOfTheMethodAlone) {
  const std::string prdp = parsed({"prdp"}).configuration, ddpo = parsed({"ddpo"}).configuration;
  EXPECT_TRUE(has(prdp, "units = ") && !has(prdp, "adv_clip_max = ")) << prdp;
  EXPECT_TRUE(has(ddpo, "adv_clip_max = ") && !has(ddpo, "units = ")) << ddpo;
  EXPECT_TRUE(has(prdp, "clip_range = ") && has(ddpo, "clip_range = "));
}

TEST(MethodOptions, ThoseOfAnotherMethodAreRefusedByName) {
  const auto refused = [](const std::vector<std::string>& arguments) {
    return refusal([&] { parsed(arguments); });
  };
  EXPECT_EQ(refused({"prdp", "--adv_clip_max", "3"}),
            "adv_clip_max is an option of ddpo, not of prdp; leave it out");
  const std::string file = testing::TempDir() + "laurel_method_options.toml";
  data::write_file(file, "units = 'mean'\n");
  EXPECT_EQ(refused({"ddpo", "--config", file}),
            "units is an option of prdp, not of ddpo; leave it out");
  // A configuration that an older run has written lists the options of all, at their defaults.
  data::write_file(file, "units = 'nat'\nadv_clip_max = 5.0\n");
  EXPECT_EQ(refused({"ddpo", "--config", file}), "");
  EXPECT_EQ(refused({"prdp", "--config", file}), "");
}

TEST(MethodOptions, ABoundOnTheKlIsOfMethodsWithACoefficient) {
  const auto grpo = parsed({"grpo", "--constraints", "clip_score>=25,kl<=20"});
  EXPECT_TRUE(grpo.command.config.method.weighs_kl);
  EXPECT_TRUE(has(grpo.configuration, "kl<=20")) << grpo.configuration;
  EXPECT_EQ(refusal([] {
              parsed({"ddpo", "--constraints", "kl<=20"});
            }),
            "constraints: expected no bound on the KL, since ddpo has no coefficient of the KL; a "
            "bound goes with prdp, dpok, grpo");
  EXPECT_EQ(refusal([] {
              parsed({"prdp", "--constraints", "kl=20"});
            }),
            "constraints: 'kl=20': expected kl<=NATS, a number above 0, as kl<=20");
}

TEST(MethodOptions, ABranchIsStepsThatMakeATree) {
  EXPECT_EQ(parsed({"prdp"}).command.config.branch, std::vector<int64_t>());
  EXPECT_EQ(parsed({"grpo", "--branch", "0,3,6"}).command.config.branch,
            (std::vector<int64_t>{0, 3, 6}));
  const auto refused = [](const std::string& branch) {
    return refusal([&] { parsed({"prdp", "--images_per_prompt", "6", "--branch", branch}); });
  };
  EXPECT_EQ(refused("0,5"), "");
  EXPECT_EQ(refused("0;5"), "branch: expected whole numbers separated by commas, found '0;5'");
  EXPECT_EQ(refused("0,99"),
            "branch: expected at most 16 steps from 0 to 9 (sample_num_steps), ascending, found "
            "0,99");
  EXPECT_TRUE(has(refused("0,3,6"), "images_per_prompt: expected a multiple of 4"))
      << refused("0,3,6");
}

TEST(MethodOptions, AnUnknownMethodIsRefusedWithAllNames) {
  for (const auto& [arguments, found] :
       std::vector<std::pair<std::vector<std::string>, std::string>>{
           {{"prpd"}, "'prpd'"}, {{}, "nothing"}, {{"prdp", "ddpo"}, "'prdp ddpo'"}}) {
    const std::string message = refusal([&] { parsed(arguments); });
    EXPECT_TRUE(has(message, "laurel finetune: expected prdp, ddpo")) << message;
    EXPECT_TRUE(
        has(message, " or a training of its own (`laurel finetune --help`), found " + found))
        << message;
  }
}

TEST(MethodOptions, PrimaryAndAuxiliariesAreTheTrainedRewards) {
  const auto learnt = parsed({"prdp", "--primary", "lvlm", "--auxiliary", "clip_score,brightness",
                              "--primary_share", "0.25"});
  ASSERT_EQ(learnt.command.trained_rewards.size(), 3u);
  EXPECT_EQ(learnt.command.trained_rewards[0].name, "lvlm");
  EXPECT_TRUE(learnt.command.config.learn_weights);
  EXPECT_TRUE(has(learnt.configuration, "normalise_rewards = 'pooled'"));
  EXPECT_FALSE(parsed({"prdp"}).command.config.learn_weights);
  const auto named = parsed(
      {"prdp", "--primary", "lvlm", "--auxiliary", "brightness", "--normalise_rewards", "rank"});
  EXPECT_EQ(named.command.config.normalise_rewards, "rank");
  const auto refused = [](std::vector<std::string> more) {
    more.insert(more.begin(), "prdp");
    return refusal([&] { parsed(more); });
  };
  EXPECT_TRUE(has(refused({"--primary", "lvlm"}), "auxiliary: expected rewards"));
  EXPECT_TRUE(has(refused({"--primary_share", "0.5"}), "primary: expected rewards"));
  EXPECT_TRUE(
      has(refused({"--primary", "lvlm", "--auxiliary", "brightness=2"}), "without weights"));
  EXPECT_TRUE(has(refused({"--primary", "lvlm.members", "--auxiliary", "brightness"}), "members"));
  EXPECT_TRUE(has(refused({"--primary", "lvlm,social", "--auxiliary", "brightness"}), "one name"));
  EXPECT_TRUE(has(refused({"--primary", "lvlm", "--auxiliary", "brightness", "--primary_share",
                           "0.25", "--images_per_prompt", "4"}),
                  "at least two"));
}

}  // namespace
