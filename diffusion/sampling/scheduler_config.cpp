#include "diffusion/sampling/scheduler_config.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "data/base/config_numbers.hpp"
#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "diffusion/sampling/config_json.hpp"
#include "diffusion/sampling/sampler_catalog.hpp"

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
                                              {"sample", Prediction::kSample},
                                              {"flow_prediction", Prediction::kFlow}};
constexpr Named<Spacing> kSpacings[] = {{"leading", Spacing::kLeading},
                                        {"trailing", Spacing::kTrailing},
                                        {"linspace", Spacing::kLinspace}};
// Further classes of diffusers that laurel reads for their noise schedules alone.
constexpr const char* kOtherClasses[] = {"LMSDiscreteScheduler", "KDPM2DiscreteScheduler",
                                         "KDPM2AncestralDiscreteScheduler"};

BadInput unknown_name(const std::string& name,
                      const std::vector<std::string>& names,
                      const std::string& where) {
  std::string all;
  for (const auto& one : names) all += (all.empty() ? "" : ", ") + one;
  const std::string near = data::nearest(name, names);
  return BadInput(where + ": expected one of " + all + ", found '" + name + "'" +
                  (near.empty() ? "" : "; did you mean " + near + "?"));
}

template <class T, size_t N>
T value_of(const Named<T> (&table)[N], const std::string& name, const std::string& where) {
  std::vector<std::string> names;
  for (const auto& row : table) {
    if (name == row.name) return row.value;
    names.push_back(row.name);
  }
  throw unknown_name(name, names, where);
}

template <class T, size_t N>
std::string name_of(const Named<T> (&table)[N], T value) {
  for (const auto& row : table) {
    if (row.value == value) return row.name;
  }
  return "";
}

constexpr OptionalKey<SchedulerConfig> kOptionalKeys[] = {
    optional_key<SchedulerConfig, &SchedulerConfig::solver_order>("solver_order"),
    optional_key<SchedulerConfig, &SchedulerConfig::solver_type>("solver_type"),
    optional_key<SchedulerConfig, &SchedulerConfig::lower_order_final>("lower_order_final"),
    optional_key<SchedulerConfig, &SchedulerConfig::euler_at_final>("euler_at_final"),
    optional_key<SchedulerConfig, &SchedulerConfig::skip_prk_steps>("skip_prk_steps"),
    optional_key<SchedulerConfig, &SchedulerConfig::original_inference_steps>(
        "original_inference_steps"),
    optional_key<SchedulerConfig, &SchedulerConfig::timestep_scaling>("timestep_scaling")};

bool has_key(const Sampler& sampler, const std::string& key) {
  const auto& keys = sampler.config_keys;
  return std::find(keys.begin(), keys.end(), key) != keys.end();
}

// What a class of diffusers takes where its file lacks a key, which is not always SD's value.
void set_class_defaults(SchedulerConfig& config) {
  config.beta_start = 0.0001;
  config.beta_end = 0.02;
  config.beta_schedule = "linear";
  config.set_alpha_to_one = false;
  const bool known = sampler_of_class(config.class_name) != nullptr;
  if (known && config.sampler->class_defaults != nullptr) config.sampler->class_defaults(config);
}

// Refuses settings of diffusers that would change the images and that laurel lacks.
void check_unsupported(const json& object, const std::string& source) {
  const auto refuse_flag = [&](const char* key, bool refused, const std::string& why) {
    bool value = !refused;
    read_key(object, key, value, source);
    const char* const words[] = {"false", "true"};
    check_key(value != refused, source + ": " + key, words[!refused] + why, words[refused]);
  };
  refuse_flag("thresholding", true, " (it is for models of pixels)");
  refuse_flag("use_lu_lambdas", true, " (take exponential sigmas)");
  refuse_flag("predict_x0", false, "");
  for (const auto& [key, only] :
       {std::pair{"variance_type", "fixed_small"}, std::pair{"interpolation_type", "linear"},
        std::pair{"timestep_type", "discrete"}}) {
    std::string value = only;
    read_key(object, key, value, source);
    check_key(value == only, source + ": " + key, only, value);
  }
  for (const char* key : {"sigma_min", "sigma_max", "solver_p", "lambda_min_clipped"}) {
    const auto found = object.find(key);
    check_key(found == object.end() || found->is_null(), source + ": " + key, "none",
              found == object.end() ? "" : data::to_text(*found));
  }
}

void check_solver(const SchedulerConfig& config, const std::string& source) {
  check_key(config.solver_order >= 1 && config.solver_order <= 3, source + ": solver_order",
            "1, 2 or 3", std::to_string(config.solver_order));
  constexpr Named<int> kSolverTypes[] = {
      {"midpoint", 0}, {"heun", 1}, {"bh1", 2}, {"bh2", 3}, {"logrho", 4}};
  if (!config.solver_type.empty())
    value_of(kSolverTypes, config.solver_type, source + ": solver_type");
  const std::string& final_sigma = config.final_sigmas_type;
  check_key(final_sigma == "zero" || final_sigma == "sigma_min", source + ": final_sigmas_type",
            "zero or sigma_min", final_sigma);
}

void check_ranges(const SchedulerConfig& config, const std::string& source) {
  check_key(config.num_train_timesteps >= 1 && config.num_train_timesteps <= 1'000'000,
            source + ": num_train_timesteps", "a value in [1, 1000000]",
            std::to_string(config.num_train_timesteps));
  check_key(config.beta_start > 0 && config.beta_start < 1, source + ": beta_start",
            "a value between 0 and 1", std::to_string(config.beta_start));
  check_key(config.beta_end > 0 && config.beta_end < 1, source + ": beta_end",
            "a value between 0 and 1", std::to_string(config.beta_end));
  check_key(config.trained_betas.empty() ||
                static_cast<int64_t>(config.trained_betas.size()) == config.num_train_timesteps,
            source + ": trained_betas", "num_train_timesteps values",
            std::to_string(config.trained_betas.size()));
  check_key(
      config.original_inference_steps >= 1 &&
          config.original_inference_steps <= config.num_train_timesteps,
      source + ": original_inference_steps",
      "a value in [1, num_train_timesteps = " + std::to_string(config.num_train_timesteps) + "]",
      std::to_string(config.original_inference_steps));
  check_key(config.timestep_scaling > 0, source + ": timestep_scaling", "a value above 0",
            std::to_string(config.timestep_scaling));
  constexpr Named<int> kBetas[] = {{"linear", 0}, {"scaled_linear", 1}, {"squaredcos_cap_v2", 2}};
  value_of(kBetas, config.beta_schedule, source + ": beta_schedule");
  check_solver(config, source);
}

// Of the methods of one class, the one of its algorithm_type.
const Sampler* sampler_of_algorithm(const Sampler* first,
                                    const json& object,
                                    const std::string& source) {
  if (first->algorithm_type == nullptr) return first;
  std::string algorithm = first->algorithm_type, expected;
  read_key(object, "algorithm_type", algorithm, source);
  for (const Sampler* row : samplers()) {
    if (row->diffusers_class != std::string(first->diffusers_class)) continue;
    if (row->algorithm_type == algorithm) return row;
    expected += (expected.empty() ? "" : " or ") + std::string(row->algorithm_type);
  }
  throw BadInput(source + ": algorithm_type: expected " + expected + ", found " + algorithm);
}

const Sampler* sampler_of(const std::string& class_name,
                          const json& object,
                          const std::string& source) {
  if (const Sampler* found = sampler_of_class(class_name))
    return sampler_of_algorithm(found, object, source);
  for (const char* other : kOtherClasses) {
    if (class_name == other) return &kDdim;
  }
  std::vector<std::string> known = sampler_classes();
  known.insert(known.end(), std::begin(kOtherClasses), std::end(kOtherClasses));
  throw unknown_name(class_name, known, source + ": _class_name");
}

const SigmaSchedule* sigma_schedule_of(const json& object, const std::string& source) {
  const SigmaSchedule* found = nullptr;
  for (const SigmaSchedule* row : sigma_schedules()) {
    bool wanted = false;
    read_key(object, row->config_key, wanted, source);
    if (!wanted) continue;
    check_key(found == nullptr, source + ": " + row->config_key,
              "one of use_karras_sigmas, use_exponential_sigmas and use_beta_sigmas", "two");
    found = row;
  }
  return found;
}

// solver_order and solver_type mean something else in the classes that laurel lacks; the other keys
// are read from every class's file.
void read_solver(const json& object, SchedulerConfig& config, const std::string& source) {
  for (const auto& key : kOptionalKeys) {
    const bool of_solver = std::string(key.name).starts_with("solver_");
    if (!of_solver || has_key(*config.sampler, key.name))
      key.read(object, key.name, config, source);
  }
  read_key(object, "final_sigmas_type", config.final_sigmas_type, source);
  read_key(object, "disable_corrector", config.disable_corrector, source);
  config.sigma_schedule = sigma_schedule_of(object, source);
}

// Reads the keys of flow matching, where the class or use_flow_sigmas says that it is meant.
// prediction: the file's prediction_type.
void read_flow(const json& object,
               SchedulerConfig& config,
               std::string& prediction,
               const std::string& source) {
  const FlowForm* form = flow_form_of_class(config.class_name);
  const bool alone = runs_on_flow_alone(config.class_name);
  bool flow = alone;
  if (!alone) read_key(object, "use_flow_sigmas", flow, source);
  if (!flow) return;
  check_key(form != nullptr, source + ": use_flow_sigmas",
            "false (laurel lacks flow matching with this class)", "true");
  if (alone) prediction = prediction_name(Prediction::kFlow);
  check_key(prediction == prediction_name(Prediction::kFlow), source + ": prediction_type",
            prediction_name(Prediction::kFlow) + " with use_flow_sigmas", prediction);
  if (config.sigma_schedule != nullptr) {
    check_key(form->takes_sigma_schedule, source + ": " + config.sigma_schedule->config_key,
              "false with use_flow_sigmas", "true");
  }
  check_key(config.final_sigmas_type == "zero", source + ": final_sigmas_type",
            "zero with use_flow_sigmas", config.final_sigmas_type);
  config.flow = flow_config_from_json(object, *form, source);
}

SchedulerConfig from_json(const json& object, const std::string& source) {
  SchedulerConfig config;
  std::string prediction = "epsilon", spacing;
  read_key(object, "_class_name", config.class_name, source);
  config.sampler = sampler_of(config.class_name, object, source);
  set_class_defaults(config);
  read_key(object, "num_train_timesteps", config.num_train_timesteps, source);
  read_key(object, "beta_start", config.beta_start, source);
  read_key(object, "beta_end", config.beta_end, source);
  read_key(object, "beta_schedule", config.beta_schedule, source);
  read_key(object, "trained_betas", config.trained_betas, source);
  read_key(object, "prediction_type", prediction, source);
  read_key(object, "timestep_spacing", spacing, source);
  read_key(object, "set_alpha_to_one", config.set_alpha_to_one, source);
  read_key(object, "rescale_betas_zero_snr", config.rescale_betas_zero_snr, source);
  read_solver(object, config, source);
  read_flow(object, config, prediction, source);
  config.prediction_type = prediction_from_name(prediction, source + ": prediction_type");
  if (!spacing.empty()) {
    config.timestep_spacing = spacing_from_name(spacing, source + ": timestep_spacing");
  }
  check_key(config.flow || config.prediction_type != Prediction::kFlow,
            source + ": prediction_type", "use_flow_sigmas true with it", prediction);
  return config;
}

// The keys that only some classes have.
void add_solver(json& object, const SchedulerConfig& config) {
  const Sampler& sampler = *config.sampler;
  if (config.sigma_schedule != nullptr) object[config.sigma_schedule->config_key] = true;
  if (config.final_sigmas_type != "zero") object["final_sigmas_type"] = config.final_sigmas_type;
  if (!config.disable_corrector.empty()) object["disable_corrector"] = config.disable_corrector;
  for (const auto& key : kOptionalKeys) {
    if (has_key(sampler, key.name)) key.write(object, key.name, config);
  }
  if (config.solver_type.empty()) object.erase("solver_type");  // the class's own
  if (&sampler != sampler_of_class(sampler.diffusers_class))
    object["algorithm_type"] = sampler.algorithm_type;
}

// Of a class that knows no levels but flow matching's.
json flow_to_json(const SchedulerConfig& config) {
  json object = {{"_class_name", config.class_name},
                 {"_diffusers_version", "0.42.1"},
                 {"num_train_timesteps", config.num_train_timesteps}};
  add_flow_config(object, *config.flow, *flow_form_of_class(config.class_name));
  if (config.sigma_schedule != nullptr) object[config.sigma_schedule->config_key] = true;
  return object;
}

json to_json(const SchedulerConfig& config) {
  if (config.flow && runs_on_flow_alone(config.class_name)) return flow_to_json(config);
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
  add_solver(object, config);
  if (config.flow) {
    object["use_flow_sigmas"] = true;
    add_flow_config(object, *config.flow, *flow_form_of_class(config.class_name));
  }
  return object;
}

}  // namespace

SchedulerConfig read_scheduler_config(const fs::path& folder_or_file) {
  std::error_code error;
  const bool folder = fs::is_directory(folder_or_file, error);
  const fs::path path = folder ? folder_or_file / "scheduler_config.json" : folder_or_file;
  // diffusers writes Infinity (of lambda_min_clipped), which is not JSON.
  const json object = data::parse_json_with_nan(data::read_file(path));
  if (!object.is_object()) {
    throw BadInput(path.string() + ": expected a JSON object of scheduler settings, found none");
  }
  data::check_config_numbers(object, path.string());
  const SchedulerConfig config = from_json(object, path.string());
  check_ranges(config, path.string());
  check_unsupported(object, path.string());
  return config;
}

void write_scheduler_config(const fs::path& folder, const SchedulerConfig& config) {
  data::write_file(folder / "scheduler_config.json", data::to_text(to_json(config), 2) + "\n");
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
