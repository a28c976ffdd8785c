// laurel merge: merges LoRAs into a checkpoint or into one LoRA, merges two checkpoints, extracts a
// LoRA from the difference of two checkpoints.

#include "tools/checkpoints/merge_command.hpp"

#include <ATen/ATen.h>

#include <cmath>
#include <filesystem>
#include <iostream>

#include "data/base/error.hpp"
#include "data/images/generation_parameters.hpp"
#include "diffusion/lora/apply.hpp"
#include "diffusion/lora/checkpoint_parts.hpp"
#include "diffusion/lora/merge.hpp"
#include "diffusion/lora/write.hpp"
#include "tools/cli/lora_choice.hpp"
#include "tools/cli/models.hpp"
#include "tools/cli/options.hpp"

using data::BadInput;
namespace fs = std::filesystem;

namespace tools {
namespace {

struct MergeConfig {
  std::string model, with, minus, extract, output;
  std::string method = "weighted_sum", dtype = "same", format = "kohya", lora_dir;
  std::vector<std::string> lora;
  double weight = 0.5, energy = 0;
  int64_t rank = 0;
};

void declare(Options& options, MergeConfig& c) {
  options.group("What");
  options.text("model", c.model, "checkpoint to merge into, or to extract from");
  options.short_name("model", 'm');
  options.list("lora", c.lora,
               "LoRA FILE[=WEIGHT]; repeatable; without --model the result is one LoRA");
  options.text("lora_dir", c.lora_dir, "folder where --lora looks for names");
  options.text("with", c.with, "second checkpoint");
  options.text("minus", c.minus, "add_difference: the checkpoint from which --with was trained");
  options.text("extract", c.extract,
               "finetuned checkpoint: writes its difference to --model as a LoRA");
  options.text("output", c.output,
               "new checkpoint in the format of --model, or a LoRA's .safetensors");
  options.short_name("output", 'o');
  options.group("How");
  options.choice("method", c.method, {"weighted_sum", "add_difference"},
                 "(1-w) model + w with, or model + w (with - minus)");
  options.number("weight", c.weight, "w", -10, 10);
  options.integer("rank", c.rank, "highest rank of a LoRA's layers; 0: no limit", 0, 4096);
  options.number("energy", c.energy,
                 "fraction of a layer's squared singular values to keep; 0: all", 0, 1);
  options.choice("dtype", c.dtype, {"same", "fp32", "fp16", "bf16"},
                 "dtype of the output; same: the model's, fp32 for a LoRA");
  options.choice("format", c.format, {"kohya", "peft"}, "names in a LoRA: kohya's or PEFT's");
}

std::optional<at::ScalarType> dtype_of(const std::string& name) {
  if (name == "fp32") return at::kFloat;
  if (name == "fp16") return at::kHalf;
  if (name == "bf16") return at::kBFloat16;
  return {};
}

std::vector<LoraChoice> choices_of(const MergeConfig& config) {
  return parse_lora_choices(config.lora, 1.0, config.lora_dir);
}

std::string made_of(const MergeConfig& config) {
  std::string text = "laurel merge: " + lora_text(choices_of(config));
  if (!config.extract.empty())
    text += "extracted from " + fs::path(config.extract).filename().string() + " less " +
            fs::path(config.model).filename().string();
  return text;
}

void check(const MergeConfig& config) {
  const auto require = [](bool holds, const std::string& line) {
    if (!holds) throw BadInput("laurel merge: " + line);
  };
  const bool two = !config.with.empty(), out = !config.extract.empty();
  require(!config.output.empty(), "expected --output, found none");
  require(two || out || !config.lora.empty(),
          "expected --lora, --with or --extract, found nothing to merge");
  require(config.lora.empty() || !out, "--extract: expected no --lora, found one");
  require(!two || !out, "--extract: expected no --with, found one");
  require(!(two || out) || !config.model.empty(), "expected --model, found none");
  require((config.method == "add_difference") == !config.minus.empty(),
          config.minus.empty() ? "--method add_difference: expected --minus, found none"
                               : "--minus: expected --method add_difference");
  require(!out || config.rank > 0 || config.energy > 0,
          "--extract: expected --rank or --energy, found neither");
}

// A folder, a file or a name in Hugging Face's cache.
diffusion::CheckpointParts read(const std::string& model) {
  return diffusion::read_checkpoint_parts(checkpoint_path(model));
}

void write(const MergeConfig& config, const diffusion::LoraWeights& lora) {
  const fs::path path = config.output;
  if (path.extension() != ".safetensors")
    throw BadInput("--output: " + config.output +
                   ": expected the LoRA's name, ending in .safetensors");
  const auto format =
      config.format == "peft" ? diffusion::LoraFormat::kPeft : diffusion::LoraFormat::kKohya;
  diffusion::write_lora(path, lora, format, dtype_of(config.dtype).value_or(at::kFloat),
                        diffusion::merged_metadata(lora, path.stem().string(), made_of(config)));
  std::cout << diffusion::lora_summary(lora) << "\nwritten: " << path.string() << "\n";
}

std::string percent(double share) {
  return data::short_number(std::round(share * 10000) / 100) + " %";
}

void merge_loras(const MergeConfig& config) {
  LoraShelf shelf;
  constexpr int64_t kLayersPerBlock = 2;  // of every Stable Diffusion
  auto result = diffusion::combine_loras(shelf.uses(choices_of(config)),
                                         {config.rank, config.energy}, kLayersPerBlock);
  result.lora.source = config.output;
  write(config, result.lora);
  if (config.rank > 0 || config.energy > 0)
    std::cout << "kept " << percent(result.kept) << " of the squares of the singular values\n";
}

void extract(const MergeConfig& config) {
  auto base = read(config.model);
  auto tuned = read(config.extract);
  auto result = diffusion::extract_lora(diffusion::lora_target(base), diffusion::lora_target(tuned),
                                        {config.rank, config.energy});
  result.lora.source = config.output;
  write(config, result.lora);
  std::cout << "kept " << percent(result.kept) << " of the squares of the singular values; "
            << result.unchanged
            << " layers are equal in both; norms and biases have no place in a LoRA\n";
}

void merge_into_checkpoint(const MergeConfig& config) {
  auto checkpoint = read(config.model);
  diffusion::check_new_target(checkpoint.source, config.output);
  if (!config.with.empty()) {
    const auto other = read(config.with);
    std::optional<diffusion::CheckpointParts> minus;
    if (!config.minus.empty()) minus = read(config.minus);
    diffusion::merge_checkpoints(checkpoint, other, minus ? &*minus : nullptr, config.weight);
  }
  LoraShelf shelf;
  const auto uses = shelf.uses(choices_of(config));
  for (const auto& use : uses) std::cout << diffusion::lora_summary(*use.lora) << "\n";
  diffusion::LoraTarget target = diffusion::lora_target(checkpoint);
  diffusion::apply_loras(target, uses);
  diffusion::save_in_source_format(checkpoint.source, config.output, checkpoint.parts,
                                   dtype_of(config.dtype));
  std::cout << "written: " << config.output << "\n";
}

int merge_command(const std::vector<std::string>& arguments) {
  MergeConfig config;
  Options options("merge",
                  "Merges LoRAs into a checkpoint or into one LoRA, two checkpoints into one; "
                  "extracts a LoRA from two.");
  declare(options, config);
  const auto parsed = options.parse(arguments);
  if (!parsed.proceed) return 0;
  if (!parsed.positional.empty())
    throw BadInput("laurel merge: unexpected '" + parsed.positional[0] +
                   "'; name files by options");
  check(config);
  if (!config.extract.empty())
    extract(config);
  else if (config.model.empty())
    merge_loras(config);
  else
    merge_into_checkpoint(config);
  return 0;
}

}  // namespace

const Command kMerge{"merge", "LoRAs and checkpoints into one; a LoRA out of two", merge_command};

}  // namespace tools
