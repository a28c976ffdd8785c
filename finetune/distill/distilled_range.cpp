#include "finetune/distill/distilled_range.hpp"

#include <nlohmann/json.hpp>

#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "data/images/generation_parameters.hpp"

namespace finetune {
namespace {

constexpr const char* kFile = "distillation.json";

}  // namespace

void write_distilled_range(const std::filesystem::path& model,
                           const DistillConfig& config,
                           const std::string& teacher) {
  const bool embedded = config.time_cond_proj_dim > 0;
  const nlohmann::ordered_json record{
      {"teacher", teacher},
      {"guidance_scale_min", (embedded ? config.w_min : config.w) + 1},
      {"guidance_scale_max", (embedded ? config.w_max : config.w) + 1},
      {"guidance_embedded", embedded},
      {"num_ddim_timesteps", config.num_ddim_timesteps}};
  data::write_file(model / kFile, data::to_text(record, 1) + "\n");
}

std::string guidance_warning(const std::filesystem::path& model, double cfg_scale) {
  if (!std::filesystem::exists(model / kFile)) return "";
  const auto record = data::read_json_object(model / kFile);
  const double low = record.value("guidance_scale_min", 0.0),
               high = record.value("guidance_scale_max", 1e9);
  if (!record.value("guidance_embedded", true)) {
    if (cfg_scale <= 1) return "";
    return "cfg_scale " + data::short_number(cfg_scale) + ": the model has guidance " +
           data::short_number(low) + " in its weights; use --cfg-scale 1 to avoid guiding twice";
  }
  if (cfg_scale >= low && cfg_scale <= high) return "";
  return "cfg_scale " + data::short_number(cfg_scale) +
         ": the model was distilled for guidance scales of " + data::short_number(low) + " to " +
         data::short_number(high) + "; outside this range it was not trained";
}

}  // namespace finetune
