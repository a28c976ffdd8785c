#include "rewards/judge_student/files.hpp"

#include <ATen/ATen.h>

#include <nlohmann/json.hpp>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "data/storage/sha256.hpp"
#include "data/weights/collect.hpp"
#include "data/weights/safetensors.hpp"
#include "data/weights/weight_files.hpp"

namespace fs = std::filesystem;
using data::BadInput;
using nlohmann::json;

namespace rewards {
namespace {

StudentConfig parse_config(const fs::path& path) {
  const json file = data::read_json_object(path);
  const auto whole = [&](const char* key) {
    const json value = file.value(key, json());
    if (!value.is_number_integer() || value.get<int64_t>() < 1 || value.get<int64_t>() > 65536)
      throw BadInput(path.string() + ": " + key + ": expected a whole number from 1, found " +
                     data::to_text(value));
    return value.get<int64_t>();
  };
  const json axes = file.value("axes", json());
  const bool named =
      axes.is_array() && !axes.empty() &&
      std::all_of(axes.begin(), axes.end(), [](const json& axis) { return axis.is_string(); });
  if (file.value("kind", "") != "lvlm" || !named || !file.value("kappa", json()).is_number() ||
      !file.value("clip_digest", json()).is_string()) {
    throw BadInput(path.string() +
                   ": expected the reward.json of `laurel train-reward lvlm` "
                   "(kind, axes, kappa, clip_digest)");
  }
  return {.axes = axes.get<std::vector<std::string>>(),
          .embedding = whole("embedding"),
          .hidden = whole("hidden"),
          .members = whole("members"),
          .blind_to = file.value("blind_to", ""),
          .clip_digest = file["clip_digest"].get<std::string>(),
          .kappa = file["kappa"].get<double>()};
}

}  // namespace

JudgeStudent load_student(const fs::path& folder) {
  const StudentConfig config = parse_config(folder / "reward.json");
  const data::Weights weights = data::read_weights(folder, "model");
  const int64_t width = 4 * config.embedding + 1;
  const auto axes = static_cast<int64_t>(config.axes.size());
  JudgeStudent w{.config = config,
                 .norm = nn::take_norm(weights, "fuse.ln", width),
                 .members = {},
                 .gain = data::take(weights, "calib.gain", {axes}),
                 .temperature = data::take(weights, "calib.temp", {axes})};
  for (int64_t m = 0; m < config.members; ++m) {
    const std::string number = std::to_string(m), trunk = "trunk." + number;
    StudentMember member{
        .trunk0 = nn::take_linear(weights, trunk + ".0", config.hidden, width),
        .trunk1 = nn::take_linear(weights, trunk + ".1", config.hidden, config.hidden),
        .heads = {}};
    for (const auto& axis : config.axes)
      member.heads.push_back(nn::take_linear(weights, "head." + number + "." + axis,
                                             static_cast<int64_t>(kBins), config.hidden));
    w.members.push_back(member);
  }
  return w;
}

void save_student(const fs::path& folder, const JudgeStudent& w, at::ScalarType dtype) {
  data::Weights file = data::collect(w, "", dtype);
  file.metadata["laurel.kind"] = "lvlm";
  data::write_safetensors(folder / "model.safetensors", file);
  const nlohmann::ordered_json config{{"kind", "lvlm"},
                                      {"axes", w.config.axes},
                                      {"embedding", w.config.embedding},
                                      {"hidden", w.config.hidden},
                                      {"members", w.config.members},
                                      {"blind_to", w.config.blind_to},
                                      {"clip_digest", w.config.clip_digest},
                                      {"kappa", w.config.kappa}};
  data::write_file(folder / "reward.json", data::to_text(config, 2) + "\n");
}

std::string clip_digest(const fs::path& folder) {
  std::string digests;
  for (const auto& file : data::find_weights(folder, "model"))
    digests += data::sha256_of_file(file);
  return data::sha256(digests);
}

}  // namespace rewards
