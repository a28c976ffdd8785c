// Models, prompts and runs that laurel must refuse; the folders are broken copies of a small
// complete pipeline.

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <limits>
#include <string>

#include "data/base/files.hpp"
#include "data/weights/safetensors.hpp"
#include "diffusion/checkpoints/model_index.hpp"
#include "diffusion/networks/unet/unet.hpp"
#include "diffusion/pipeline/pipeline.hpp"
#include "tests/support/bad_input.hpp"
#include "tests/support/paths.hpp"

namespace {

namespace fs = std::filesystem;
using bad_input::Case;
using bad_input::case_name;

const char* const kUNetFile = "unet/diffusion_pytorch_model.safetensors";
const char* const kFirstTensor = "conv_in.bias";

// The embedded world's parts with a UNet of random weights.
void write_model(const fs::path& folder) {
  const fs::path parts = std::string(tests::source_dir()) + "/models/tiny-world";
  fs::create_directories(folder);
  for (const char* part : {"vae", "text_encoder", "tokenizer"})
    fs::create_directory_symlink(parts / part, folder / part);
  diffusion::write_model_index(folder, {});
  data::write_file(folder / "scheduler/scheduler_config.json",
                   R"({"_class_name": "DDIMScheduler"})");
  diffusion::UNetConfig config;
  config.down_attention = {false, true};
  config.up_attention = {true, false};
  config.block_out_channels = {16, 32};
  config.layers_per_block = config.transformer_layers = {1, 1};
  config.heads = {2, 2};
  config.norm_num_groups = 8;
  config.cross_attention_dim = 128;
  config.sample_size = 8;
  auto generator = at::detail::createCPUGenerator(1);
  auto unet = diffusion::make_unet(config, generator);
  diffusion::save_unet(folder / "unet", unet, at::kFloat);
}

void copy_model(const fs::path& folder, const char* name) {
  fs::copy(folder / "model", folder / name,
           fs::copy_options::recursive | fs::copy_options::copy_symlinks);
}

// A copy of the model whose first tensor is changed.
void write_changed(const fs::path& folder, const char* name, const at::Tensor& tensor) {
  copy_model(folder, name);
  data::Weights weights = data::read_safetensors(folder / "model" / kUNetFile);
  if (tensor.defined()) {
    weights.tensors[kFirstTensor] = tensor;
  } else {
    weights.tensors.erase(kFirstTensor);
  }
  data::write_safetensors(folder / name / kUNetFile, weights);
}

void write_broken_models(const fs::path& folder) {
  write_changed(folder, "nan", at::full({16}, std::numeric_limits<float>::quiet_NaN()));
  write_changed(folder, "shape", at::zeros({17}));
  write_changed(folder, "dtype", at::zeros({16}, at::kLong));
  write_changed(folder, "missing", {});
  for (const char* name : {"cut", "scheduler", "tokenizer", "no_vae"}) copy_model(folder, name);
  fs::resize_file(folder / "cut" / kUNetFile, fs::file_size(folder / "cut" / kUNetFile) / 2);
  data::write_file(folder / "scheduler/scheduler/scheduler_config.json",
                   R"({"prediction_type": "eps"})");
  fs::remove_all(folder / "tokenizer/tokenizer");
  data::write_file(folder / "tokenizer/tokenizer/vocab.json", "{oops");
  data::write_file(folder / "tokenizer/tokenizer/merges.txt", "#version: 0.2\n");
  fs::remove_all(folder / "no_vae/vae");
}

void write_tensor(const fs::path& path, const char* name, std::vector<int64_t> shape) {
  data::Weights weights;
  weights.tensors[name] = at::zeros(shape);
  data::write_safetensors(path, weights);
}

// A model whose UNet is in shards: the second is missing; the first is cut off.
void write_shards(const fs::path& folder) {
  for (const char* name : {"shards", "cut_shard"}) {
    copy_model(folder, name);
    fs::rename(folder / name / kUNetFile, folder / name / "unet/one.safetensors");
    data::write_file(
        folder / name / "unet/diffusion_pytorch_model.safetensors.index.json",
        R"({"weight_map": {"conv_in.bias": "one.safetensors", "x": "two.safetensors"}})");
  }
  const fs::path one = folder / "cut_shard/unet/one.safetensors";
  fs::resize_file(one, fs::file_size(one) / 2);
  fs::copy_file(one, folder / "cut_shard/unet/two.safetensors");
}

void write_files(const fs::path& folder) {
  const auto write = [&](const char* name, const std::string& text) {
    data::write_file(folder / name, text);
  };
  write("prompts.txt", "a red circle\na blue square\n");
  write("empty.txt", "\n\n");
  write("latin1.txt", "a red circle\na caf\xe9\n");
  write("broken.jsonl", "{\"prompt\": \"a red circle\"}\n{oops\n");
  write("key.jsonl", "{\"promt\": \"a red circle\"}\n");
  write("flag.txt", "a red circle --q 3\n");
  write("unknown.toml", "seed = 1\nlearning_rat = 0.1\n");
  write("ddpo/run.json", R"({"laurel": "0.1.0", "kind": "ddpo"})");
  write("other/notes.txt", "mine\n");
  write("page.safetensors", "<!DOCTYPE html>\n<html><body>Log in</body></html>\n");
  write("pointer.safetensors", "version https://git-lfs.github.com/spec/v1\noid sha256:0\n");
  write("model.onnx", "onnx");
  fs::copy_file(std::string(tests::source_dir()) + "/tests/golden/torch_files/code.ckpt",
                folder / "code.ckpt");
  write_tensor(folder / "lora.safetensors", "lora_unet_mid_block_x.lora_down.weight", {4, 8});
  write_tensor(folder / "sd3.safetensors", "model.diffusion_model.joint_blocks.0.x", {1});
  data::Weights weights;
  weights.tensors["latents"] = at::zeros({1, 3, 8, 8});
  data::write_safetensors(folder / "latents.safetensors", weights);
}

void write_fixtures(const fs::path& folder) {
  write_model(folder / "model");
  write_broken_models(folder);
  write_shards(folder);
  write_files(folder);
}

std::string fixtures() {
  static const bad_input::Folder folder("laurel_bad_model_", write_fixtures);
  return folder.text();
}

class BadModel : public testing::TestWithParam<Case> {};

TEST_P(BadModel, OneLineAndTwo) { bad_input::expect_refused(GetParam(), fixtures()); }

INSTANTIATE_TEST_SUITE_P(
    Prompts,
    BadModel,
    testing::Values(
        Case{"None", "sample -o @/out", {"expected a prompt"}},
        Case{"EmptyFile", "sample -o @/out --prompts @/empty.txt", {"@/empty.txt"}},
        Case{"MissingFile", "sample -o @/out --prompts @/none.txt", {"@/none.txt"}},
        Case{"NotUtf8", "sample -o @/out --prompts @/latin1.txt", {"@/latin1.txt:2", "UTF-8"}},
        Case{"BrokenJson", "sample -o @/out --prompts @/broken.jsonl", {"@/broken.jsonl:2"}},
        Case{"UnknownJsonKey",
             "sample -o @/out --prompts @/key.jsonl",
             {"@/key.jsonl:1", "promt", "prompt"}},
        Case{"UnknownLineOption", "sample -o @/out --prompts @/flag.txt", {"@/flag.txt:1", "--q"}}),
    case_name);

INSTANTIATE_TEST_SUITE_P(
    Sample,
    BadModel,
    testing::Values(
        Case{"ModelMissing", "sample -o @/out -m @/none -p x", {"@/none"}},
        Case{"ModelIsAFile", "sample -o @/out -m @/empty.txt -p x", {"@/empty.txt"}},
        Case{"ModelOfAnotherKind", "sample -o @/out -m @/other -p x", {"@/other"}},
        Case{"ModelOnTheHub", "sample -o @/out -m org/none -p x", {"hf download org/none"}},
        Case{"ModelIsAPage",
             "sample -o @/out -m @/page.safetensors -p x",
             {"@/page.safetensors", "an HTML page"}},
        Case{"ModelIsAPointer",
             "sample -o @/out -m @/pointer.safetensors -p x",
             {"@/pointer.safetensors", "git lfs pull"}},
        Case{"ModelIsOnnx", "sample -o @/out -m @/model.onnx -p x", {"@/model.onnx", "ONNX"}},
        Case{"ModelHoldsCode", "sample -o @/out -m @/code.ckpt -p x", {"@/code.ckpt", "system"}},
        Case{"ModelIsALora",
             "sample -o @/out -m @/lora.safetensors -p x",
             {"@/lora.safetensors", "LoRA", "--lora"}},
        Case{"ModelIsAVae",
             "sample -o @/out -m @/model/vae/diffusion_pytorch_model.safetensors -p x",
             {"found VAE"}},
        Case{"ModelIsAUNet",
             "sample -o @/out -m @/model/" + std::string(kUNetFile) + " -p x",
             {"found UNet", "unet folder"}},
        Case{"ModelIsOfAnotherFamily",
             "sample -o @/out -m @/sd3.safetensors -p x",
             {"@/sd3.safetensors", "Stable Diffusion 3"}},
        Case{"ShardMissing", "sample -o @/out -m @/shards -p x", {"two.safetensors", "incomplete"}},
        Case{"ShardCut", "sample -o @/out -m @/cut_shard -p x", {"one.safetensors"}},
        Case{"PartMissing", "sample -o @/out -m @/no_vae -p x", {"vae"}},
        Case{"NanWeights", "sample -o @/out -m @/nan -p x", {"@/nan/unet", "conv_in.bias", "NaN"}},
        Case{"WrongShape",
             "sample -o @/out -m @/shape -p x",
             {"@/shape/unet", "conv_in.bias", "[16]", "[17]"}},
        Case{"WrongDtype", "sample -o @/out -m @/dtype -p x", {"@/dtype/unet", "conv_in.bias"}},
        Case{"TensorMissing",
             "sample -o @/out -m @/missing -p x",
             {"@/missing/unet", "conv_in.bias"}},
        Case{"FileCut", "sample -o @/out -m @/cut -p x", {"@/cut/unet"}},
        Case{"UnknownPrediction",
             "sample -o @/out -m @/scheduler -p x",
             {"scheduler_config.json", "prediction_type", "eps"}},
        Case{"BrokenTokenizer", "sample -o @/out -m @/tokenizer -p x", {"vocab.json"}},
        Case{"UnknownSampler",
             "sample -o @/out -m @/model -p x --sampling_method eulr",
             {"--sampling_method", "eulr", "euler"}},
        Case{"UnknownSpacing",
             "sample -o @/out -m @/model -p x --timestep_spacing led",
             {"--timestep_spacing", "led"}},
        Case{"TooManyStepsOfLcm",
             "sample -o @/out -m @/model -p x --sampling_method lcm --steps 51",
             {"steps", "original_inference_steps = 50", "51"}},
        Case{"NegativeEta",
             "sample -o @/out -m @/model -p x --sampling_method tcd --eta -0.5",
             {"--eta", "-0.5"}},
        Case{"EtaOfEuler",
             "sample -o @/out -m @/model -p x --sampling_method euler --eta 1",
             {"--eta"}},
        Case{"MemoryIsNoAmount",
             "sample -o @/out -m @/model -p x --max_memory plenty",
             {"max_memory", "'plenty'", "12GB"}},
        Case{"MemoryTooSmall",
             "sample -o @/out -m @/model -p x --max_memory 1MB",
             {"max_memory: expected at least", "found 1.0 MB"}},
        Case{"NoSteps", "sample -o @/out -p x --steps 0", {"--steps", "0"}},
        Case{"SizeOfNoLatent", "sample -o @/out -m @/model -p x --height 60", {"60", "8"}},
        Case{"LatentsMissing",
             "sample -o @/out -m @/model -p x --latents @/none.safetensors",
             {"@/none.safetensors"}},
        Case{"LatentsOfThreeChannels",
             "sample -o @/out -m @/model -p x --latents @/latents.safetensors",
             {"@/latents.safetensors", "[1, 3, 8, 8]"}},
        Case{"LoraOfNothing",
             "sample -o @/out -m @/model -p x --lora @/latents.safetensors",
             {"@/latents.safetensors"}},
        Case{"BestByNothing", "sample -o @/out -p x --best_of 4", {"--best_of", "--reward"}},
        Case{"OutputIsAFile", "sample -o @/empty.txt -m @/model -p x", {"@/empty.txt"}},
        Case{"OutputIsReadOnly", "sample -o /proc/laurel -m @/model -p x", {"/proc/laurel"}}),
    case_name);

INSTANTIATE_TEST_SUITE_P(
    Finetune,
    BadModel,
    testing::Values(
        Case{"NoMethod", "finetune", {"expected prdp"}},
        Case{"UnknownMethod", "finetune prpd", {"'prpd'"}},
        Case{"UnknownKey",
             "finetune prdp --config @/unknown.toml",
             {"@/unknown.toml:2", "learning_rat", "did you mean", "learning_rate"}},
        Case{"UnknownReward",
             "finetune prdp -m @/model -o @/run -r brihgtness --prompts @/prompts.txt",
             {"brihgtness", "brightness"}},
        Case{"NoEpochs", "finetune prdp --num_epochs 0", {"--num_epochs", "0"}},
        Case{"MemoryIsNoAmount", "finetune prdp --max_memory 12XB", {"max_memory", "'12XB'"}},
        Case{"MemoryTooSmall",
             "finetune prdp -o @/out --max_memory 5MB",
             {"max_memory: expected at least", "found 5.0 MB"}},
        Case{"OneImageHasNoPair",
             "finetune prdp --images_per_prompt 1",
             {"--images_per_prompt", "1"}},
        Case{"StepsNotNumbers",
             "finetune prdp -m @/model -o @/run --skip_steps last",
             {"skip_steps", "last"}},
        Case{"TooManyPrompts",
             "finetune prdp -m @/model -o @/run --prompts_per_epoch 2 --prompts_per_update 3",
             {"prompts_per_update", "3"}},
        Case{"PromptsMissing",
             "finetune prdp -m @/model -o @/run -r brightness --prompts @/none.txt",
             {"@/none.txt"}},
        Case{"RunOfAnotherKind",
             "finetune prdp -m @/model -o @/ddpo -r brightness --prompts @/prompts.txt",
             {"@/ddpo", "ddpo"}},
        Case{"FolderOfOtherFiles",
             "finetune prdp -m @/model -o @/other -r brightness --prompts @/prompts.txt",
             {"@/other"}},
        Case{"NothingToResume",
             "finetune prdp -m @/model -o @/run -r brightness --prompts @/prompts.txt "
             "--resume_from_checkpoint @/none",
             {"resume_from_checkpoint", "@/none"}},
        Case{"NanModel",
             "finetune prdp -m @/nan -o @/run -r brightness --prompts @/prompts.txt",
             {"@/nan/unet", "conv_in.bias", "NaN"}},
        Case{"OutputIsReadOnly",
             "finetune prdp -m @/model -o /proc/laurel -r brightness --prompts @/prompts.txt",
             {"/proc/laurel"}}),
    case_name);

// The existing file does not change.
TEST(BadModelLosesNothing, OtherFilesInTheFolder) {
  bad_input::run_laurel("finetune prdp -m @/model -o @/other -r brightness --prompts @/prompts.txt",
                        fixtures());
  EXPECT_EQ(data::read_file(fs::path(fixtures()) / "other/notes.txt"), "mine\n");
}

}  // namespace
