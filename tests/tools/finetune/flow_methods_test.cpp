// Every method of `laurel finetune` on a model of flow matching (Stable Diffusion 3.5's layout): it
// changes the transformer or a LoRA, its files are read back, and a resumed run equals the
// uninterrupted one.

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "data/base/files.hpp"
#include "data/images/image_io.hpp"
#include "diffusion/checkpoints/save_in_source_format.hpp"
#include "diffusion/lora/apply.hpp"
#include "diffusion/lora/read.hpp"
#include "diffusion/networks/network_files.hpp"
#include "finetune/draft/methods.hpp"
#include "finetune/forward/methods/forward_methods.hpp"
#include "finetune/policy/methods/policy_methods.hpp"
#include "tests/support/golden.hpp"
#include "tests/support/tiny/run.hpp"
#include "tools/finetune/command.hpp"

namespace {

namespace fs = std::filesystem;
using diffusion::Network;

const fs::path kFlowModel = golden::folder() / "sd3" / "sd35";
constexpr int64_t kRounds = 2;  // epochs or steps of an uninterrupted run

struct FlowMethod {
  std::string name;
  std::string rounds;             // the option that counts them
  std::vector<std::string> more;  // options of the method
  bool from_choices = false;      // of people, in place of own images and a reward
  bool whole = false;             // not a LoRA
};

std::vector<FlowMethod> flow_methods() {
  const std::vector<std::string> epochs{"--prompts_per_epoch=2", "--images_per_prompt=3"};
  std::vector<FlowMethod> methods;
  for (const auto& method : finetune::policy_methods())
    methods.push_back({method.name, "--num_epochs=", epochs});
  methods.push_back({"distill-cfg", "--num_epochs=", epochs});
  for (const auto& method : finetune::forward_methods()) {
    methods.push_back({method.name, "--num_epochs=", epochs});
    methods.back().more.push_back("--num_inner_epochs=1");
    if (!method.learns_from_choices) continue;
    methods.back().more.push_back("--online");
    methods.push_back({method.name, "--max_train_steps=", {"--choices_per_update=1"}, true});
  }
  for (const auto& method : finetune::draft_methods()) {
    methods.push_back({method.name, "--max_train_steps=", {"--train_batch_size=2"}});
    if (method.defaults().early_x0) methods.back().more.push_back("--last_steps=2");
  }
  for (size_t i = 0; i < methods.size(); ++i) methods[i].whole = i % 2 == 1;  // in turns
  return methods;
}

class FlowMethods : public testing::TestWithParam<FlowMethod> {
 protected:
  static std::string choices_in(const fs::path& place) {
    data::write_png(place / "a.png", at::full({3, 16, 16}, 0.9));
    data::write_png(place / "b.png", at::full({3, 16, 16}, 0.1));
    const fs::path file = place / "choices.jsonl";
    data::write_file(file, R"({"prompt": "a star", "a": "a.png", "b": "b.png", "winner": "a"})");
    return file.string();
  }

  // Trains for so many rounds in all.
  void train(const fs::path& run, int64_t rounds, bool resumed = false) const {
    const FlowMethod& method = GetParam();
    const fs::path prompts = run.parent_path() / "prompts.txt";
    data::write_file(prompts, "a red star\na blue square\ntwo squares\na star\n");
    std::vector<std::string> arguments{method.name,
                                       "--model=" + kFlowModel.string(),
                                       "--no_t5",
                                       "--prompts=" + prompts.string(),
                                       "--output_dir=" + run.string(),
                                       "--device=cpu",
                                       "--sample_num_steps=3",
                                       "--eval_prompts=1",
                                       "--eval_images=1",
                                       "--eval_every=1",
                                       "--checkpointing_steps=1",
                                       "--learning_rate=0.01",
                                       method.rounds + std::to_string(rounds)};
    arguments.insert(arguments.end(), method.more.begin(), method.more.end());
    arguments.push_back(method.from_choices ? "--pairs=" + choices_in(run.parent_path())
                                            : "--reward=brightness");
    if (method.from_choices) arguments.push_back("--eval_rewards=brightness");
    if (method.name != "distill-cfg") arguments.push_back("--sample_guidance_scale=1");
    if (method.whole) arguments.push_back("--train=full");
    if (resumed) arguments.push_back("--resume_from_checkpoint=latest");
    EXPECT_EQ(tools::kFinetune.run(arguments), 0);
  }

  Network written(const fs::path& run) const {
    if (GetParam().whole) return diffusion::load_network(run / "transformer");
    Network network = diffusion::load_network(kFlowModel / "transformer");
    const auto lora = diffusion::read_lora(run / "pytorch_lora_weights.safetensors");
    auto target = diffusion::lora_target(network);
    diffusion::apply_loras(target, {{std::make_shared<diffusion::LoraWeights>(lora)}});
    return network;
  }
};

// The newest checkpoint's state.
fs::path last_state(const fs::path& run) {
  int64_t newest = 0;
  for (const auto& entry : fs::directory_iterator(run)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("checkpoint-"))
      newest = std::max(newest, int64_t{std::stol(name.substr(11))});
  }
  return run / ("checkpoint-" + std::to_string(newest)) / "state.safetensors";
}

TEST_P(FlowMethods, ChangeTheModelAndResumeBitForBit) {
  const fs::path place = tests::fresh_folder("place");
  train(place / "run", kRounds);
  const auto before = diffusion::tensors_of(diffusion::load_network(kFlowModel / "transformer"));
  double change = 0;
  for (const auto& [name, tensor] : diffusion::tensors_of(written(place / "run")).tensors) {
    EXPECT_TRUE(tensor.isfinite().all().item<bool>()) << name;
    change = std::max(change, (tensor - before.tensors.at(name)).abs().max().item<double>());
  }
  EXPECT_GT(change, 1e-4);
  const auto lines = tests::metrics(place / "run", false);
  ASSERT_FALSE(lines.empty());
  for (const auto& line : lines) {
    for (const auto& [figure, value] : line.items())
      EXPECT_FALSE(value.is_null()) << figure << " is not finite";
  }

  train(place / "parts", kRounds - 1);
  train(place / "parts", kRounds, /*resumed=*/true);
  EXPECT_EQ(last_state(place / "run").parent_path().filename(),
            last_state(place / "parts").parent_path().filename());
  tests::expect_same_tensors(last_state(place / "run"), last_state(place / "parts"));
}

INSTANTIATE_TEST_SUITE_P(All, FlowMethods, testing::ValuesIn(flow_methods()), [](const auto& one) {
  std::string name = one.param.name + (one.param.from_choices ? "OfChoices" : "") +
                     (one.param.whole ? "Whole" : "Lora");
  std::erase(name, '-');
  return name;
});

}  // namespace
