#include "finetune/run/model_card.hpp"

#include <nlohmann/json.hpp>

#include "data/base/files.hpp"
#include "data/base/json.hpp"

namespace finetune {
namespace {

namespace fs = std::filesystem;

// A YAML text between double quotes: every JSON text is one.
std::string yaml(const std::string& text) { return data::to_text(nlohmann::json(text)); }

std::string front_matter(const ModelCard& card) {
  const std::string base = hub_repository(card.record.model);
  std::string text = "---\n";
  if (!base.empty())
    text += "base_model: " + base +
            "\nbase_model_relation: " + (card.adapter ? "adapter" : "finetune") + "\n";
  if (!card.license.empty()) text += "license: " + yaml(card.license) + "\n";
  text +=
      "library_name: diffusers\npipeline_tag: text-to-image\ntags:\n- laurel\n- "
      "reward-finetuning\n- " +
      card.record.kind + "\n";
  if (card.adapter) text += "- lora\n- template:sd-lora\n";
  if (card.record.synthetic) text += "- synthetic\n";
  if (!card.images.empty()) text += "widget:\n";
  for (const auto& image : card.images)
    text += "- text: " + yaml(image.prompt) + "\n  output:\n    url: " + image.file + "\n";
  return text + "---\n";
}

}  // namespace

std::string hub_repository(const std::string& path) {
  const fs::path whole(path);
  for (auto part = whole.begin(); part != whole.end(); ++part) {
    const std::string name = part->string();
    const size_t owner = sizeof("models--") - 1, split = name.find("--", owner);
    if (name.starts_with("models--") && split != std::string::npos)
      return name.substr(owner, split - owner) + "/" + name.substr(split + 2);
  }
  return "";
}

std::string card_text(const ModelCard& card) {
  const std::string base = hub_repository(card.record.model);
  std::string text =
      front_matter(card) + "\n# " + card.record.kind + " on " +
      (base.empty() ? fs::path(card.record.model).filename().string() : base) + "\n\n" +
      (card.adapter ? "A LoRA (`pytorch_lora_weights.safetensors`)" : "A whole network") +
      ", trained by laurel with `" + card.command + "` to earn more of the reward `" +
      card.record.reward + "`.\n";
  if (card.record.synthetic) text += "The model, its data and every figure are synthetic.\n";
  text += "\n| | |\n|---|---|\n| starting model | " +
          (base.empty() ? fs::path(card.record.model).filename().string() : base) +
          " |\n| rewards, with weights | `" + card.record.reward + "` |\n| updates | " +
          std::to_string(card.updates) + " |\n| seed | " + std::to_string(card.record.seed) +
          " |\n";
  for (const auto& [name, value] : card.figures) text += "| " + name + " | " + value + " |\n";
  text += "\nAll options are in `config.toml`, every figure of the run in `metrics.jsonl`.\n";
  if (card.adapter)
    text +=
        "\n```python\npipeline.load_lora_weights(\"FOLDER\", "
        "weight_name=\"pytorch_lora_weights.safetensors\")\n```\n\nComfyUI reads LoRAs from "
        "`models/loras/`, AUTOMATIC1111's web UI from `models/Lora/`: copy the file of the run's "
        "name there.\n";
  if (!card.license.empty()) return text + "\nLicence: " + card.license + ".\n";
  return text +
         "\nThe licence is that of the starting model: add `license:` above before you publish, or "
         "train with `--metadata_license`.\n";
}

std::vector<ModelCard::Image> card_images(const fs::path& run,
                                          const fs::path& samples,
                                          size_t most) {
  std::vector<ModelCard::Image> images;
  const fs::path scores = run / samples / "scores.jsonl";
  if (!fs::exists(scores)) return images;
  data::for_each_line(scores, [&](const std::string& line, const std::string& where) {
    const auto entry = data::parse_json_object(line, where);
    if (images.size() < most)
      images.push_back(
          {(samples / entry.value("file", "")).generic_string(), entry.value("prompt", "")});
  });
  return images;
}

}  // namespace finetune
