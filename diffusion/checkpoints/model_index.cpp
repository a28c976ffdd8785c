#include "diffusion/checkpoints/model_index.hpp"

#include <nlohmann/json.hpp>
#include <vector>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "diffusion/families/families.hpp"
#include "diffusion/pipeline/t5_text.hpp"

using data::BadInput;
using nlohmann::json;
namespace fs = std::filesystem;

namespace diffusion {
namespace {

constexpr const char *kT5Rows = "_max_sequence_length", *kGuidance = "_guidance_scale";
constexpr double kMostGuidance = 100;

const char* kExpected =
    "expected a diffusers folder of Stable Diffusion 1, 2, XL, 3 or FLUX.1 (model_index.json, "
    "unet/ or "
    "transformer/, vae/, text_encoder/, tokenizer/, scheduler/)";

// What was found at a path that is no diffusers folder, and what to do.
std::string what_it_is(const fs::path& path) {
  if (!fs::exists(path)) return "found nothing there; check the path";
  if (!fs::is_directory(path)) {
    const std::string ending = path.extension().string();
    if (ending == ".safetensors" || ending == ".ckpt" || ending == ".bin") {
      return "found a single file; convert it with diffusers' scripts, or name the folder that it "
             "came from";
    }
    return "found a file; name the folder";
  }
  const fs::path absolute = fs::absolute(path).lexically_normal();
  const fs::path parent =
      (absolute.has_filename() ? absolute : absolute.parent_path()).parent_path();
  if (fs::exists(parent / "model_index.json"))
    return "found a part of one; name " + parent.string();
  if (fs::exists(path / "config.json"))
    return "found a single network (config.json); name a whole checkpoint";
  if (fs::is_empty(path)) return "found an empty folder; the download may have failed";
  return "found a folder without model_index.json; the download may be incomplete";
}

void check_parts(const fs::path& folder, const ClassFamily& kind, bool has_t5) {
  std::vector<std::string> parts = {kind.family.network_part, "vae", "scheduler"};
  const auto add_encoder = [&](const FamilyEncoder& encoder) {
    parts.insert(parts.end(), {encoder.part, encoder.tokenizer});
  };
  for (const auto& encoder : kind.family.text_encoders) add_encoder(encoder);
  if (has_t5) add_encoder(*kind.family.t5_encoder);
  for (const auto& part : parts) {
    if (fs::is_directory(folder / part)) continue;
    throw BadInput((folder / part).string() + ": expected a part of " + kind.pipeline.name +
                   ", found nothing there; the download may be incomplete, or model_index.json is "
                   "of another kind of model");
  }
}

std::optional<int64_t> absent_t5_rows(const json& object, const std::string& source) {
  const json rows = object.value(kT5Rows, json());
  if (rows.is_null()) return {};
  if (rows.is_number_integer() && rows >= 0 && rows <= kMostT5Tokens) return rows.get<int64_t>();
  throw BadInput(source + ": " + kT5Rows + ": expected a whole number in [0, " +
                 std::to_string(kMostT5Tokens) + "], found " + data::to_text(rows));
}

std::optional<double> own_guidance(const json& object, const std::string& source) {
  const json scale = object.value(kGuidance, json());
  if (scale.is_null()) return {};
  if (scale.is_number() && scale >= 0 && scale <= kMostGuidance) return scale.get<double>();
  throw BadInput(source + ": " + kGuidance + ": expected a number in [0, 100], found " +
                 data::to_text(scale));
}

}  // namespace

ModelIndex read_model_index(const fs::path& folder) {
  const fs::path file = folder / "model_index.json";
  if (!fs::exists(file))
    throw BadInput(folder.string() + ": " + kExpected + ", " + what_it_is(folder));
  const json object = data::read_json_object(file);
  const auto text = [](const json& value) {
    return value.is_string() ? value.get<std::string>() : data::to_text(value);
  };
  const auto flag = [&](const char* key) { return object.value(key, json()) == true; };
  const auto part_class = [&](const char* part, const std::string& absent) {
    const json entry = object.value(part, json());
    return entry.is_array() && entry.size() == 2 && entry[1].is_string()
               ? entry[1].get<std::string>()
               : absent;
  };
  ModelIndex index;
  index.class_name = text(object.value("_class_name", json()));
  const ClassFamily kind = class_family(index.class_name, file.string());
  if (flag("requires_aesthetics_score")) {
    throw BadInput(file.string() +
                   ": requires_aesthetics_score: this is SDXL's refiner, which is " +
                   "not supported; name the base model");
  }
  index.force_zeros_for_empty_prompt =
      kind.family.reads_pooled_text && flag("force_zeros_for_empty_prompt");
  index.scheduler = part_class("scheduler", index.scheduler);
  index.text_encoder = part_class("text_encoder", index.text_encoder);
  const auto& t5 = kind.family.t5_encoder;
  index.has_t5 = t5 && !part_class(t5->part, "").empty();
  if (t5 && !index.has_t5) index.max_sequence_length = absent_t5_rows(object, file.string());
  index.guidance_scale = own_guidance(object, file.string());
  check_parts(folder, kind, index.has_t5);
  return index;
}

void write_model_index(const fs::path& folder, const ModelIndex& index) {
  const json absent = {nullptr, nullptr};
  const ModelFamily& family = class_family(index.class_name, folder.string()).family;
  json object = {
      {"_class_name", index.class_name},
      {"_diffusers_version", "0.42.1"},
      {"scheduler", {"diffusers", index.scheduler}},
      {family.network_part, {"diffusers", family.network_class}},
      {"vae", {"diffusers", "AutoencoderKL"}},
  };
  for (const auto& encoder : family.text_encoders) {
    object[encoder.part] = {"transformers", encoder.class_name};
    object[encoder.tokenizer] = {"transformers", "CLIPTokenizer"};
  }
  object[family.text_encoders[0].part] = {"transformers", index.text_encoder};
  if (const auto& t5 = family.t5_encoder) {
    object[t5->part] = index.has_t5 ? json{"transformers", t5->class_name} : absent;
    object[t5->tokenizer] = index.has_t5 ? json{"transformers", "T5TokenizerFast"} : absent;
  }
  if (index.max_sequence_length) object[kT5Rows] = *index.max_sequence_length;
  if (index.guidance_scale) object[kGuidance] = *index.guidance_scale;
  for (const char* part : family.absent_parts) object[part] = absent;
  if (object.contains("safety_checker")) object["requires_safety_checker"] = false;
  if (family.reads_pooled_text)
    object["force_zeros_for_empty_prompt"] = index.force_zeros_for_empty_prompt;
  data::write_file(folder / "model_index.json", data::to_text(object, 2) + "\n");
}

}  // namespace diffusion
