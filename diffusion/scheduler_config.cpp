#include "diffusion/scheduler_config.hpp"

#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>

#include "data/error.hpp"
#include "data/files.hpp"
#include "data/json.hpp"

using data::BadInput;
using nlohmann::json;
namespace fs = std::filesystem;

namespace diffusion {
namespace {

template <class T>
struct Named {
  const char* name;
  T value;
};

constexpr Named<Prediction> kPredictions[] = {{"epsilon", Prediction::kEpsilon},
                                              {"v_prediction", Prediction::kV},
                                              {"sample", Prediction::kSample}};
constexpr Named<Spacing> kSpacings[] = {{"leading", Spacing::kLeading},
                                        {"trailing", Spacing::kTrailing},
                                        {"linspace", Spacing::kLinspace}};
// The last six have no sampler here; their noise schedules are the same.
constexpr Named<Sampler> kClasses[] = {
    {"DDIMScheduler", Sampler::kDdim},
    {"DDPMScheduler", Sampler::kDdpm},
    {"EulerDiscreteScheduler", Sampler::kEuler},
    {"EulerAncestralDiscreteScheduler", Sampler::kEulerAncestral},
    {"DPMSolverMultistepScheduler", Sampler::kDpmpp2m},
    {"PNDMScheduler", Sampler::kDdim},
    {"LMSDiscreteScheduler", Sampler::kDdim},
    {"HeunDiscreteScheduler", Sampler::kDdim},
    {"UniPCMultistepScheduler", Sampler::kDdim},
    {"DEISMultistepScheduler", Sampler::kDdim},
    {"DPMSolverSinglestepScheduler", Sampler::kDdim}};
constexpr size_t kSamplerClasses = 5;
// Other spellings, without case, spaces, - and _.
constexpr Named<Sampler> kSamplers[] = {{"ddim", Sampler::kDdim},
                                        {"ddpm", Sampler::kDdpm},
                                        {"euler", Sampler::kEuler},
                                        {"eulera", Sampler::kEulerAncestral},
                                        {"eulerancestral", Sampler::kEulerAncestral},
                                        {"dpm++2m", Sampler::kDpmpp2m}};

template <class T, size_t N>
T value_of(const Named<T> (&table)[N], const std::string& name, const std::string& where) {
  std::vector<std::string> names;
  std::string all;
  for (const auto& row : table) {
    if (name == row.name) return row.value;
    names.push_back(row.name);
    all += (all.empty() ? "" : ", ") + names.back();
  }
  const std::string near = data::nearest(name, names);
  throw BadInput(where + ": expected one of " + all + ", found '" + name + "'" +
                 (near.empty() ? "" : "; did you mean " + near + "?"));
}

template <class T, size_t N>
std::string name_of(const Named<T> (&table)[N], T value) {
  for (const auto& row : table) {
    if (row.value == value) return row.name;
  }
  return "";
}

// diffusers writes Infinity (of lambda_min_clipped), which is not JSON: read as null.
std::string without_infinities(std::string text) {
  for (const std::string word : {"-Infinity", "Infinity", "NaN"}) {
    for (size_t at = text.find(word); at != std::string::npos; at = text.find(word)) {
      text.replace(at, word.size(), "null");
    }
  }
  return text;
}

// Sets `target` from `key` where it is there and not null.
template <class T>
void read(const json& object, const char* key, T& target, const std::string& source) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return;
  try {
    target = found->get<T>();
  } catch (const json::exception&) {
    throw BadInput(source + ": " + key + ": value of the wrong type: found " +
                   data::to_text(*found));
  }
}

void check(bool good,
           const std::string& where,
           const std::string& expected,
           const std::string& found) {
  if (!good) throw BadInput(where + ": expected " + expected + ", found " + found);
}

// Settings of diffusers that would change the images and are not here.
void check_unsupported(const json& object, const std::string& source) {
  bool thresholding = false, lu = false, exponential = false, beta = false, flow = false;
  std::string variance = "fixed_small", algorithm = "dpmsolver++", solver = "midpoint";
  read(object, "thresholding", thresholding, source);
  read(object, "use_lu_lambdas", lu, source);
  read(object, "use_exponential_sigmas", exponential, source);
  read(object, "use_beta_sigmas", beta, source);
  read(object, "use_flow_sigmas", flow, source);
  read(object, "variance_type", variance, source);
  check(!thresholding, source + ": thresholding", "false (it is for pixel models)", "true");
  check(!lu && !exponential && !beta && !flow, source, "plain or Karras sigmas", "another kind");
  check(variance == "fixed_small", source + ": variance_type", "fixed_small", variance);
  if (object.value("_class_name", "") != "DPMSolverMultistepScheduler") return;
  read(object, "algorithm_type", algorithm, source);
  read(object, "solver_type", solver, source);
  check(algorithm == "dpmsolver++", source + ": algorithm_type", "dpmsolver++", algorithm);
  check(solver == "midpoint", source + ": solver_type", "midpoint", solver);
}

void check_ranges(const SchedulerConfig& config, const std::string& source) {
  check(config.num_train_timesteps >= 1 && config.num_train_timesteps <= 1'000'000,
        source + ": num_train_timesteps", "a value in [1, 1000000]",
        std::to_string(config.num_train_timesteps));
  check(config.beta_start > 0 && config.beta_start < 1, source + ": beta_start",
        "a value between 0 and 1", std::to_string(config.beta_start));
  check(config.beta_end > 0 && config.beta_end < 1, source + ": beta_end",
        "a value between 0 and 1", std::to_string(config.beta_end));
  check(config.solver_order == 1 || config.solver_order == 2, source + ": solver_order", "1 or 2",
        std::to_string(config.solver_order));
  check(config.trained_betas.empty() ||
            static_cast<int64_t>(config.trained_betas.size()) == config.num_train_timesteps,
        source + ": trained_betas", "num_train_timesteps values",
        std::to_string(config.trained_betas.size()));
  const std::string& final_sigma = config.final_sigmas_type;
  check(final_sigma == "zero" || final_sigma == "sigma_min", source + ": final_sigmas_type",
        "zero or sigma_min", final_sigma);
  constexpr Named<int> kBetas[] = {{"linear", 0}, {"scaled_linear", 1}, {"squaredcos_cap_v2", 2}};
  value_of(kBetas, config.beta_schedule, source + ": beta_schedule");
}

SchedulerConfig from_json(const json& object, const std::string& source) {
  SchedulerConfig config;
  std::string prediction = "epsilon", spacing;
  read(object, "_class_name", config.class_name, source);
  config.sampler = value_of(kClasses, config.class_name, source + ": _class_name");
  // Where a key is absent diffusers takes its class's default, which is not SD's.
  config.beta_start = 0.0001;
  config.beta_end = 0.02;
  config.beta_schedule = "linear";
  config.set_alpha_to_one = config.class_name == "DDIMScheduler";
  read(object, "num_train_timesteps", config.num_train_timesteps, source);
  read(object, "beta_start", config.beta_start, source);
  read(object, "beta_end", config.beta_end, source);
  read(object, "beta_schedule", config.beta_schedule, source);
  read(object, "trained_betas", config.trained_betas, source);
  read(object, "prediction_type", prediction, source);
  read(object, "timestep_spacing", spacing, source);
  read(object, "set_alpha_to_one", config.set_alpha_to_one, source);
  read(object, "rescale_betas_zero_snr", config.rescale_betas_zero_snr, source);
  read(object, "use_karras_sigmas", config.use_karras_sigmas, source);
  if (config.sampler == Sampler::kDpmpp2m)
    read(object, "solver_order", config.solver_order, source);
  read(object, "lower_order_final", config.lower_order_final, source);
  read(object, "euler_at_final", config.euler_at_final, source);
  read(object, "final_sigmas_type", config.final_sigmas_type, source);
  config.prediction_type = prediction_from_name(prediction, source + ": prediction_type");
  if (!spacing.empty()) {
    config.timestep_spacing = spacing_from_name(spacing, source + ": timestep_spacing");
  }
  return config;
}

json to_json(const SchedulerConfig& config) {
  json object = {{"_class_name", config.class_name},
                 {"_diffusers_version", "0.42.1"},
                 {"num_train_timesteps", config.num_train_timesteps},
                 {"beta_start", config.beta_start},
                 {"beta_end", config.beta_end},
                 {"beta_schedule", config.beta_schedule},
                 {"trained_betas", nullptr},
                 {"prediction_type", prediction_name(config.prediction_type)},
                 {"steps_offset", config.steps_offset},
                 {"set_alpha_to_one", config.set_alpha_to_one},
                 {"clip_sample", false}};
  if (!config.trained_betas.empty()) object["trained_betas"] = config.trained_betas;
  if (config.timestep_spacing != Spacing::kClassDefault) {
    object["timestep_spacing"] = spacing_name(config.timestep_spacing);
  }
  if (config.rescale_betas_zero_snr) object["rescale_betas_zero_snr"] = true;
  if (config.use_karras_sigmas) object["use_karras_sigmas"] = true;
  if (config.final_sigmas_type != "zero") object["final_sigmas_type"] = config.final_sigmas_type;
  if (config.sampler == Sampler::kDpmpp2m) {
    object["solver_order"] = config.solver_order;
    object["lower_order_final"] = config.lower_order_final;
    object["euler_at_final"] = config.euler_at_final;
  }
  return object;
}

}  // namespace

SchedulerConfig read_scheduler_config(const fs::path& folder_or_file) {
  std::error_code error;
  const bool folder = fs::is_directory(folder_or_file, error);
  const fs::path path = folder ? folder_or_file / "scheduler_config.json" : folder_or_file;
  const json object = data::parse_json(without_infinities(data::read_file(path)));
  if (!object.is_object()) {
    throw BadInput(path.string() + ": expected a JSON object of scheduler settings, found none");
  }
  const SchedulerConfig config = from_json(object, path.string());
  check_ranges(config, path.string());
  check_unsupported(object, path.string());
  return config;
}

void write_scheduler_config(const fs::path& folder, const SchedulerConfig& config) {
  data::write_file(folder / "scheduler_config.json", data::to_text(to_json(config), 2) + "\n");
}

SamplerChoice sampler_from_name(const std::string& name, const std::string& where) {
  for (size_t i = 0; i < kSamplerClasses; ++i) {
    if (name == kClasses[i].name) return {.sampler = kClasses[i].value};
  }
  std::string plain;
  for (const char c : name) {
    if (c != ' ' && c != '_' && c != '-') plain.push_back(static_cast<char>(std::tolower(c)));
  }
  SamplerChoice choice;
  choice.karras = plain.ends_with("karras");
  if (choice.karras) plain.resize(plain.size() - 6);
  for (const auto& row : kSamplers) {
    if (plain == row.name) choice.sampler = row.value;
    if (plain != row.name) continue;
    const bool sigmas = choice.sampler == Sampler::kEuler || choice.sampler == Sampler::kDpmpp2m;
    if (choice.karras && !sigmas) break;
    return choice;
  }
  const std::vector<std::string> names{"ddim",    "ddpm",    "euler",
                                       "euler_a", "dpm++2m", "dpm++2m_karras"};
  const std::string near = data::nearest(name, names);
  throw BadInput(where + ": expected ddim, ddpm, euler, euler_a, dpm++2m, dpm++2m_karras or a " +
                 "diffusers class name, found '" + name + "'" +
                 (near.empty() ? "" : "; did you mean " + near + "?"));
}

std::string sampler_label(const SamplerChoice& choice) {
  static const char* const kLabels[] = {"DDIM", "DDPM", "Euler", "Euler a", "DPM++ 2M"};
  return std::string(kLabels[static_cast<int>(choice.sampler)]) + (choice.karras ? " Karras" : "");
}

Spacing spacing_from_name(const std::string& name, const std::string& where) {
  return value_of(kSpacings, name, where);
}
std::string spacing_name(Spacing spacing) { return name_of(kSpacings, spacing); }
Prediction prediction_from_name(const std::string& name, const std::string& where) {
  return value_of(kPredictions, name, where);
}
std::string prediction_name(Prediction prediction) { return name_of(kPredictions, prediction); }

}  // namespace diffusion
