#include "tools/train_reward/reward_folder.hpp"

#include <cmath>
#include <nlohmann/json.hpp>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/format.hpp"
#include "data/base/json.hpp"
#include "data/weights/safetensors.hpp"
#include "rewards/pairs/files.hpp"

namespace fs = std::filesystem;

namespace tools {

namespace {

bool holds_other_model(const fs::path& folder) {
  if (fs::exists(folder / "config.json")) return true;  // of a CLIP, a checkpoint
  const fs::path file = folder / rewards::kRewardFile;
  if (!fs::exists(file)) return false;
  const auto metadata = data::read_safetensors(file).metadata;
  const auto kind = metadata.find("laurel.kind");
  return kind == metadata.end() ||
         (kind->second != rewards::kTasteKind && kind->second != rewards::kExamplesKind);
}

}  // namespace

void check_reward_folder(const std::string& command, const std::string& output) {
  if (output.empty())
    throw data::BadInput(command + ": --output: expected a folder to write, found nothing");
  if (!fs::exists(output)) return;
  if (!fs::is_directory(output))
    throw data::BadInput("--output " + output + ": expected a folder, found a file");
  if (holds_other_model(output))
    throw data::BadInput("--output " + output +
                         ": holds another model, which would be overwritten; name a new folder");
}

void write_card(const fs::path& folder,
                const RewardCard& card,
                const nlohmann::ordered_json& report,
                const std::string& resolved_settings) {
  const std::string use = "--define 'mine=" + card.family + ":FOLDER" + card.settings + "'";
  const std::string text =
      "---\nlibrary_name: laurel\ntags: [reward-model, text-to-image]\n---\n\n"
      "# A reward by `laurel train-reward " +
      card.family + "`\n\n" + card.description +
      "\n## Use\n\nFOLDER is this one. It reads the CLIP that it was trained on.\n\n```\n"
      "laurel score images/ --rewards mine " +
      use + "\nlaurel finetune prdp --reward mine " + use + "\n```\n";
  data::write_file(folder / "README.md", text);
  data::write_file(folder / "report.json", data::to_text(report, 2) + "\n");
  data::write_file(folder / "config.toml", resolved_settings);
}

std::string share_text(const rewards::Interval& share) {
  if (std::isnan(share.value)) return "-";
  return data::formatted("%.1f %% [%.1f, %.1f]", 100 * share.value, 100 * share.low,
                         100 * share.high);
}

nlohmann::ordered_json share_json(const rewards::Interval& share) {
  return {{"value", share.value}, {"interval_95", {share.low, share.high}}};
}

}  // namespace tools
