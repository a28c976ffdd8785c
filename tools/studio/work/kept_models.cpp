#include "tools/studio/work/kept_models.hpp"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "data/base/numbers.hpp"
#include "finetune/run/run_folder.hpp"

namespace fs = std::filesystem;

namespace studio {
namespace {

constexpr const char* kLoraFile = "pytorch_lora_weights.safetensors";
constexpr const char* kNetworkFolders[] = {"unet", "transformer"};

// The step of "checkpoint-20".
std::optional<int64_t> step_in(const fs::path& checkpoint) {
  const std::string name = checkpoint.filename().string();
  return data::number_of<int64_t>(name.substr(name.find('-') + 1));
}

// The step that the guard accepted last: of its last verdict. None: it accepted none, or 0.
std::optional<int64_t> accepted_step(const fs::path& run) {
  std::optional<int64_t> step;
  std::error_code error;
  if (!fs::exists(run / "guard.jsonl", error)) return step;
  try {
    data::for_each_line(run / "guard.jsonl", [&](const std::string& text, const std::string&) {
      const auto line = data::parse_json(text);
      if (line.is_object() && line.contains("accepted") && line["accepted"].is_number_integer())
        step = line["accepted"].get<int64_t>();
    });
  } catch (const data::BadInput&) {  // it is being written
  }
  return step && *step > 0 ? step : std::nullopt;
}

fs::path network_in(const fs::path& folder) {
  for (const char* name : kNetworkFolders) {
    if (fs::is_directory(folder / name)) return folder / name;
  }
  return {};
}

}  // namespace

std::vector<KeptModel> kept_models(const fs::path& run) {
  std::map<int64_t, KeptModel> by_step;
  std::error_code error;
  const auto holds_model = [&](const fs::path& folder) {
    return fs::exists(folder / kLoraFile, error) || !network_in(folder).empty();
  };
  if (fs::is_directory(run, error)) {
    for (const auto& checkpoint : finetune::checkpoints(run)) {
      const auto step = step_in(checkpoint);
      if (step && *step > 0 && holds_model(checkpoint))
        by_step[*step] = {.step = *step, .folder = checkpoint};
    }
  }
  if (const auto step = accepted_step(run); step && holds_model(run / "accepted")) {
    KeptModel& model = by_step[*step];
    model.step = *step;
    model.accepted = true;
    if (model.folder.empty()) model.folder = run / "accepted";
  }
  std::vector<KeptModel> models;
  for (auto& [step, model] : by_step) {
    model.shown = fs::is_directory(run / "samples" / ("step-" + std::to_string(step)), error);
    models.push_back(std::move(model));
  }
  return models;
}

KeptModel kept_model(const fs::path& run, int64_t step) {
  for (auto& model : kept_models(run)) {
    if (model.step == step) return model;
  }
  throw data::BadInput("step: expected one that the training kept, found " + std::to_string(step));
}

std::string start_of(const fs::path& run) {
  const auto record = data::parse_json(data::read_file(run / "run.json"));
  if (!record.is_object() || !record.contains("model") || !record["model"].is_string())
    throw data::BadInput((run / "run.json").string() +
                         ": expected the model that the training started from, found none");
  return record["model"].get<std::string>();
}

fs::path lora_of(const KeptModel& model) {
  const fs::path file = model.folder / kLoraFile;
  return fs::exists(file) ? file : fs::path();
}

std::vector<std::string> drawing_options(const fs::path& run,
                                         const KeptModel& model,
                                         const fs::path& copies) {
  std::vector<std::string> options{"--model", start_of(run)};
  if (fs::path lora = lora_of(model); !lora.empty()) {
    if (!copies.empty()) {
      const fs::path copy = copies / ("step-" + std::to_string(model.step) + ".safetensors");
      fs::copy_file(lora, copy, fs::copy_options::overwrite_existing);
      lora = copy;
    }
    options.insert(options.end(), {"--lora", lora.string()});
    return options;
  }
  const fs::path network = network_in(model.folder);
  if (network.empty())
    throw data::BadInput(model.folder.string() + ": expected a LoRA or a network, found neither");
  options.insert(options.end(), {"--unet", network.string()});
  return options;
}

}  // namespace studio
