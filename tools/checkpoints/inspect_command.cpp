#include "tools/checkpoints/inspect_command.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <filesystem>
#include <iomanip>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "data/base/shape.hpp"
#include "data/images/digital_source.hpp"
#include "data/images/image_io.hpp"
#include "data/unicode/utf8.hpp"
#include "data/weights/weight_files.hpp"
#include "diffusion/checkpoints/traits.hpp"
#include "diffusion/families/identify.hpp"
#include "diffusion/networks/unet/reward_conditioning_config.hpp"
#include "tools/cli/models.hpp"
#include "tools/cli/options.hpp"

using data::BadInput;
namespace fs = std::filesystem;

namespace tools {

namespace {

using diffusion::Detail;
using diffusion::ModelKind;

struct InspectConfig {
  bool tensors = false, check = false, json = false;
};

// The output for one file or folder, in order.
struct Report {
  std::string path{}, kind{};
  std::vector<Detail> details{};
  std::map<std::string, std::string> metadata{};
  std::vector<Detail> tensors{};   // name; dtype and shape
  std::vector<std::string> bad{};  // tensors with NaN or infinite values
  std::vector<Report> parts{};
};

std::string with_unit(double value, const char* unit) {
  const char* const scales[] = {"", "k", "M", "G", "T"};
  size_t scale = 0;
  for (; value >= 1000 && scale < 4; ++scale) value /= 1000;
  std::ostringstream text;
  text << std::setprecision(value >= 100 ? 4 : 3) << value << " " << scales[scale] << unit;
  return text.str();
}

// The dtype's name in safetensors files.
std::string dtype_name(at::ScalarType type) {
  switch (type) {
    case at::kFloat:
      return "F32";
    case at::kHalf:
      return "F16";
    case at::kBFloat16:
      return "BF16";
    case at::kDouble:
      return "F64";
    case at::kLong:
      return "I64";
    case at::kInt:
      return "I32";
    case at::kByte:
      return "U8";
    case at::kBool:
      return "BOOL";
    default:
      return at::toString(type);
  }
}

void add_traits(Report& report, const diffusion::ModelTraits& traits) {
  const auto details = diffusion::details_of(traits);
  report.details.insert(report.details.end(), details.begin(), details.end());
}

// Describes a file even when it is incomplete or unsupported.
void add_file_traits(Report& report, const data::Weights& weights) {
  try {
    add_traits(report, diffusion::traits_of_single_file(weights));
  } catch (const BadInput& fault) {
    report.details.push_back({"not usable", fault.what()});
  }
}

Report inspect_weights(const fs::path& path, const InspectConfig& config) {
  const data::Weights weights = data::read_weights_file(path);
  const ModelKind kind = diffusion::identify(weights);
  Report report{.path = path.string(),
                .kind = kind.kind,
                .details = kind.details,
                .metadata = weights.metadata};
  if (kind.kind.starts_with("checkpoint of ")) add_file_traits(report, weights);
  double parameters = 0;
  std::map<std::string, int64_t> types;
  for (const auto& [name, tensor] : weights.tensors) {
    parameters += static_cast<double>(tensor.numel());
    types[dtype_name(tensor.scalar_type())] += 1;
    if (config.tensors)
      report.tensors.push_back(
          {name, dtype_name(tensor.scalar_type()) + " " + data::shape_text(tensor.sizes())});
    if (config.check && !data::all_finite(tensor)) report.bad.push_back(name);
  }
  std::string dtypes;
  for (const auto& [type, count] : types)
    dtypes += (dtypes.empty() ? "" : ", ") + std::to_string(count) + " " + type;
  report.details.push_back({"parameters", with_unit(parameters, "")});
  report.details.push_back({"size", with_unit(static_cast<double>(fs::file_size(path)), "B")});
  report.details.push_back({"tensors", dtypes});
  if (config.check)
    report.details.push_back(
        {"values", report.bad.empty() ? "all finite" : "NaN or infinity, see below"});
  return report;
}

Report inspect_image(const fs::path& path) {
  const auto image = data::read_image(path);
  Report report{.path = path.string(), .kind = "image"};
  report.details.push_back(
      {"size", std::to_string(image.size(2)) + " x " + std::to_string(image.size(1)) + " px"});
  const std::string bytes = data::read_file(path);
  const std::string source = data::digital_source_type(bytes);
  if (!source.empty()) report.details.push_back({"digital source", source});
  if (data::is_png(bytes)) report.metadata = data::png_text_of(bytes, path.string());
  return report;
}

std::string plain(const nlohmann::json& value) {
  return value.is_string() ? value.get<std::string>() : data::to_text(value);
}

// The settings on which the meaning of a model's outputs depends.
void add_settings(Report& report, const fs::path& path) {
  static const char* const kKeys[] = {"_class_name",
                                      "prediction_type",
                                      "beta_schedule",
                                      "timestep_spacing",
                                      "rescale_betas_zero_snr",
                                      "scaling_factor",
                                      "sample_size",
                                      "image_size"};
  const auto json = data::read_json(path);
  if (!json.is_object()) return;
  for (const char* key : kKeys) {
    if (json.contains(key)) report.details.push_back({key, plain(json[key])});
  }
  const auto reward = diffusion::read_reward_config(json, path.string());
  if (!diffusion::reads_reward(reward)) return;
  std::string axes;
  for (const auto& axis : reward.axes) axes += (axes.empty() ? "" : ", ") + axis;
  report.details.push_back({"reward axes", axes});
}

bool is_weights(const fs::path& path) {
  static const std::set<std::string> endings{".safetensors", ".ckpt", ".pt", ".pth", ".bin"};
  return endings.count(path.extension().string()) > 0;
}

Report inspect_folder(const fs::path& path, const InspectConfig& config) {
  Report report{.path = path.string(), .kind = "folder"};
  if (fs::exists(path / "model_index.json"))
    report.kind = "diffusers pipeline";
  else if (fs::exists(path / "run.json"))
    report.kind = "laurel's run folder";
  else if (fs::exists(path / "vocab.json"))
    report.kind = "tokenizer";
  for (const char* name : {"model_index.json", "scheduler_config.json", "config.json"}) {
    if (fs::exists(path / name)) add_settings(report, path / name);
  }
  if (report.kind == "diffusers pipeline") add_traits(report, diffusion::traits_of_folder(path));
  if (fs::exists(path / "run.json")) {
    const auto run = data::read_json(path / "run.json");
    for (const auto& [key, value] : run.items()) report.details.push_back({key, plain(value)});
  }
  std::vector<fs::path> entries;
  for (const auto& entry : fs::directory_iterator(path)) entries.push_back(entry.path());
  std::sort(entries.begin(), entries.end());
  for (const auto& entry : entries) {
    if (is_weights(entry)) report.parts.push_back(inspect_weights(entry, config));
    if (!fs::is_directory(entry)) continue;
    Report part = inspect_folder(entry, config);
    if (part.kind != "folder" || !part.parts.empty() || !part.details.empty())
      report.parts.push_back(part);
  }
  return report;
}

Report inspect(const fs::path& path, const InspectConfig& config) {
  if (fs::is_directory(path)) {
    Report report = inspect_folder(path, config);
    if (report.kind == "folder" && report.parts.empty() && report.details.empty())
      throw BadInput(
          path.string() +
          ": expected safetensors files, model_index.json or run.json in this folder, found none");
    return report;
  }
  const std::string extension = path.extension().string();
  if (extension == ".png" || extension == ".jpg" || extension == ".jpeg" || extension == ".webp")
    return inspect_image(path);
  return inspect_weights(path, config);
}

void print_details(const std::vector<Detail>& details, const std::string& indent) {
  size_t width = 0;
  for (const auto& detail : details) width = std::max(width, detail.name.size());
  for (const auto& [name, value] : details)
    std::cout << indent << data::printable(name) << std::string(width + 2 - name.size(), ' ')
              << data::printable(value) << "\n";
}

void print(const Report& report, const std::string& indent) {
  std::cout << indent << data::printable(report.path) << ": " << report.kind << "\n";
  const std::string inner = indent + "  ";
  print_details(report.details, inner);
  for (const auto& [key, value] : report.metadata) {
    const bool cut = value.size() > 160 && key != "parameters";
    std::cout << inner << data::printable(key) << " = "
              << data::printable(cut ? data::shortened(value, 160) : value,
                                 key == "parameters" ? "\n" : "")
              << "\n";
  }
  for (const auto& name : report.bad)
    std::cout << inner << "not finite: " << data::printable(name) << "\n";
  print_details(report.tensors, inner);
  for (const auto& part : report.parts) print(part, inner);
}

nlohmann::ordered_json to_json(const Report& report) {
  nlohmann::ordered_json json{{"path", report.path}, {"kind", report.kind}};
  for (const auto& [name, value] : report.details) json["details"][name] = value;
  if (!report.metadata.empty()) json["metadata"] = report.metadata;
  for (const auto& [name, value] : report.tensors) json["tensors"][name] = value;
  if (!report.bad.empty()) json["not_finite"] = report.bad;
  for (const auto& part : report.parts) json["parts"].push_back(to_json(part));
  return json;
}

bool sound(const Report& report) {
  return report.bad.empty() && std::all_of(report.parts.begin(), report.parts.end(), sound);
}

// Paths of files, folders or names in Hugging Face's cache; "-m MODEL" is the same as "MODEL".
std::vector<std::string> paths_of(const std::string& model, std::vector<std::string> positional) {
  if (!model.empty()) positional.insert(positional.begin(), model);
  for (auto& path : positional) path = checkpoint_path(path).string();
  if (positional.empty())
    throw BadInput("laurel inspect: expected a file or a folder, found nothing");
  return positional;
}

int inspect_command(const std::vector<std::string>& arguments) {
  InspectConfig config;
  std::string model;
  Options options("inspect", "Describes model files, folders and images.", "FILE|FOLDER...");
  options.text("model", model, "the same as FILE|FOLDER; also org/name in Hugging Face's cache");
  options.short_name("model", 'm');
  options.flag("tensors", config.tensors, "list every tensor with its dtype and shape");
  options.flag("check", config.check, "check every value; exit code 1 when one is NaN or infinite");
  options.flag("json", config.json, "print JSON");
  const auto parsed = options.parse(arguments);
  if (!parsed.proceed) return 0;
  bool all_sound = true;
  auto list = nlohmann::ordered_json::array();
  for (const auto& path : paths_of(model, parsed.positional)) {
    const Report report = inspect(path, config);
    all_sound &= sound(report);
    if (config.json)
      list.push_back(to_json(report));
    else
      print(report, "");
  }
  if (config.json) std::cout << data::to_text(list, 2) << "\n";
  return all_sound ? 0 : 1;
}

}  // namespace

const Command kInspect{"inspect", "describe a model file, a folder or an image", inspect_command};

}  // namespace tools
