#include "diffusion/sampling/sampler_catalog.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cctype>

#include "data/base/error.hpp"

// Every sampling method, in the order of --help. A new one is a file in methods/ that defines its
// row, and a line here.
// clang-format off
#define LAUREL_SAMPLERS(row) \
  row(kDdim) \
  row(kDdpm) \
  row(kPndm) \
  row(kEuler) \
  row(kEulerAncestral) \
  row(kHeun) \
  row(kDpmpp2m) \
  row(kDpmpp2mSde) \
  row(kDpmpp2s) \
  row(kDpmppSde) \
  row(kUniPc) \
  row(kDeis) \
  row(kLcm) \
  row(kTcd)
// clang-format on

namespace diffusion {

#define LAUREL_DECLARE(name) extern const Sampler name;
LAUREL_SAMPLERS(LAUREL_DECLARE)

const std::vector<const Sampler*>& samplers() {
#define LAUREL_ADDRESS(name) &name,
  static const std::vector<const Sampler*> rows = {LAUREL_SAMPLERS(LAUREL_ADDRESS)};
  return rows;
}

namespace {

// Without case, spaces, - and _; ComfyUI's pp is ++, and the k of k_euler goes.
std::string plain(const std::string& name) {
  std::string text;
  for (const char c : name) {
    if (c != ' ' && c != '_' && c != '-') text.push_back(static_cast<char>(std::tolower(c)));
  }
  if (const size_t at = text.find("dpmpp"); at != std::string::npos) text.replace(at, 5, "dpm++");
  for (const char* known : {"keuler", "kheun", "kdpm++"}) {
    if (text.starts_with(known)) text.erase(0, 1);
  }
  return text;
}

// nullptr: none.
const Sampler* sampler_of_plain(const std::string& text) {
  for (const Sampler* row : samplers()) {
    if (text == plain(row->flag) || text == plain(row->label)) return row;
    for (const char* alias : row->aliases) {
      if (text == alias) return row;
    }
  }
  return nullptr;
}

// The nearest known name, whatever the case; empty when none is near.
std::string nearest_name(const std::string& name) {
  std::vector<std::string> known = sampler_classes(), plain_ones;
  for (const Sampler* row : samplers()) {
    known.push_back(row->flag);
    known.push_back(row->label);
    if (row->takes_sigma_schedule) known.push_back(std::string(row->label) + " Karras");
  }
  for (const auto& one : known) plain_ones.push_back(plain(one));
  const std::string near = data::nearest(plain(name), plain_ones);
  const auto found = std::find(plain_ones.begin(), plain_ones.end(), near);
  return found == plain_ones.end() ? "" : known[static_cast<size_t>(found - plain_ones.begin())];
}

[[noreturn]] void refuse_sampler(const std::string& name, const std::string& where) {
  const std::string near = nearest_name(name);
  throw data::BadInput(where + ": expected one of " + sampler_flags() +
                       " (those with sigmas also with _karras, _exponential or _beta) or a "
                       "diffusers class name, found '" +
                       name + "'" + (near.empty() ? "" : "; did you mean " + near + "?"));
}

}  // namespace

const Sampler* sampler_of_flag(const std::string& flag) {
  for (const Sampler* row : samplers()) {
    if (flag == row->flag) return row;
  }
  TORCH_CHECK(false, "sampler_of_flag: no sampler ", flag, " among ", sampler_flags());
}

const Sampler* sampler_of_class(const std::string& class_name) {
  for (const Sampler* row : samplers()) {
    if (class_name == row->diffusers_class) return row;
    if (row->flow != nullptr && row->flow->diffusers_class != nullptr &&
        class_name == row->flow->diffusers_class)
      return row;
  }
  return nullptr;
}

const FlowForm* flow_form_of_class(const std::string& class_name) {
  for (const Sampler* row : samplers()) {
    if (row->flow != nullptr && row->flow->diffusers_class != nullptr &&
        class_name == row->flow->diffusers_class)
      return row->flow;
  }
  return nullptr;
}

bool runs_on_flow_alone(const std::string& class_name) {
  const Sampler* row = sampler_of_class(class_name);
  return flow_form_of_class(class_name) != nullptr && class_name != row->diffusers_class;
}

SamplerChoice sampler_from_name(const std::string& name, const std::string& where) {
  if (const Sampler* sampler = sampler_of_class(name)) return {.sampler = sampler};
  SamplerChoice choice;
  std::string text = plain(name);
  for (const SigmaSchedule* row : sigma_schedules()) {
    if (!text.ends_with(row->suffix)) continue;
    text.resize(text.size() - std::string(row->suffix).size());
    choice.sigma_schedule = row;
    break;
  }
  choice.sampler = sampler_of_plain(text);
  if (choice.sampler == nullptr ||
      (choice.sigma_schedule != nullptr && !choice.sampler->takes_sigma_schedule))
    refuse_sampler(name, where);
  return choice;
}

std::string sampler_flags() {
  std::string flags;
  for (const Sampler* row : samplers())
    flags += (flags.empty() ? "" : ", ") + std::string(row->flag);
  return flags;
}

std::string sampler_label(const SamplerChoice& choice) {
  std::string label = choice.sampler->label;
  if (choice.sigma_schedule != nullptr && choice.sampler->takes_sigma_schedule)
    label += std::string(" ") + choice.sigma_schedule->label;
  return label;
}

std::vector<std::string> sampler_classes() {
  std::vector<std::string> names;
  const auto add = [&](const char* name) {
    if (name != nullptr && std::find(names.begin(), names.end(), name) == names.end())
      names.push_back(name);
  };
  for (const Sampler* row : samplers()) {
    add(row->diffusers_class);
    if (row->flow != nullptr) add(row->flow->diffusers_class);
  }
  return names;
}

}  // namespace diffusion
