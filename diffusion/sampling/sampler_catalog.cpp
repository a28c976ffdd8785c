#include "diffusion/sampling/sampler_catalog.hpp"

#include <algorithm>
#include <cctype>

#include "data/base/error.hpp"

namespace diffusion {
namespace {

struct Name {
  Sampler sampler;
  const char* flag;        // of --sampling-method
  const char* label;       // of web UIs
  const char* class_name;  // of diffusers
  bool sigmas;             // takes Karras sigmas and the like
};

constexpr Name kNames[] = {
    {Sampler::kDdim, "ddim", "DDIM", "DDIMScheduler", false},
    {Sampler::kDdpm, "ddpm", "DDPM", "DDPMScheduler", false},
    {Sampler::kPndm, "pndm", "PLMS", "PNDMScheduler", false},
    {Sampler::kEuler, "euler", "Euler", "EulerDiscreteScheduler", true},
    {Sampler::kEulerAncestral, "euler_a", "Euler a", "EulerAncestralDiscreteScheduler", false},
    {Sampler::kHeun, "heun", "Heun", "HeunDiscreteScheduler", true},
    {Sampler::kDpmpp2m, "dpm++2m", "DPM++ 2M", "DPMSolverMultistepScheduler", true},
    {Sampler::kDpmpp2mSde, "dpm++2m_sde", "DPM++ 2M SDE", "DPMSolverMultistepScheduler", true},
    {Sampler::kDpmpp2s, "dpm++2s", "DPM++ 2S", "DPMSolverSinglestepScheduler", true},
    {Sampler::kDpmppSde, "dpm++sde", "DPM++ SDE", "DPMSolverSDEScheduler", true},
    {Sampler::kUniPc, "unipc", "UniPC", "UniPCMultistepScheduler", true},
    {Sampler::kLcm, "lcm", "LCM", "LCMScheduler", false},
    {Sampler::kTcd, "tcd", "TCD", "TCDScheduler", false}};

struct Spelling {
  const char* plain;
  Sampler sampler;
};
// Further ones, as `plain` leaves them.
constexpr Spelling kSpellings[] = {{"eulerancestral", Sampler::kEulerAncestral},
                                   {"dpmsolver++", Sampler::kDpmpp2m},
                                   {"dpmsingle", Sampler::kDpmpp2s},
                                   {"plms", Sampler::kPndm},
                                   {"unipcbh2", Sampler::kUniPc},
                                   {"dpm++2msdegpu", Sampler::kDpmpp2mSde},
                                   {"dpm++sdegpu", Sampler::kDpmppSde}};

struct Spread {
  const char* suffix;
  const char* label;
  Sigmas sigmas;
};
constexpr Spread kSpreads[] = {{"karras", " Karras", Sigmas::kKarras},
                               {"exponential", " Exponential", Sigmas::kExponential},
                               {"beta", " Beta", Sigmas::kBeta}};

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

std::optional<Sampler> sampler_of_plain(const std::string& text) {
  for (const auto& row : kNames) {
    if (text == plain(row.flag) || text == plain(row.label)) return row.sampler;
  }
  for (const auto& row : kSpellings) {
    if (text == row.plain) return row.sampler;
  }
  return std::nullopt;
}

// The nearest known name, whatever the case; empty when none is near.
std::string nearest_name(const std::string& name) {
  std::vector<std::string> known = sampler_classes(), plain_ones;
  for (const auto& row : kNames) {
    known.push_back(row.flag);
    known.push_back(row.label);
    if (row.sigmas) known.push_back(std::string(row.label) + " Karras");
  }
  for (const auto& one : known) plain_ones.push_back(plain(one));
  const std::string near = data::nearest(plain(name), plain_ones);
  const auto found = std::find(plain_ones.begin(), plain_ones.end(), near);
  return found == plain_ones.end() ? "" : known[static_cast<size_t>(found - plain_ones.begin())];
}

[[noreturn]] void refuse(const std::string& name, const std::string& where) {
  const std::string near = nearest_name(name);
  throw data::BadInput(where + ": expected one of " + sampler_flags() +
                       " (those with sigmas also with _karras, _exponential or _beta) or a "
                       "diffusers class name, found '" +
                       name + "'" + (near.empty() ? "" : "; did you mean " + near + "?"));
}

}  // namespace

SamplerChoice sampler_from_name(const std::string& name, const std::string& where) {
  if (const auto sampler = sampler_of_class(name)) return {.sampler = *sampler};
  SamplerChoice choice;
  std::string text = plain(name);
  for (const auto& row : kSpreads) {
    if (!text.ends_with(row.suffix)) continue;
    text.resize(text.size() - std::string(row.suffix).size());
    choice.sigmas = row.sigmas;
    break;
  }
  const auto sampler = sampler_of_plain(text);
  if (!sampler || (choice.sigmas != Sigmas::kPlain && !spreads_sigmas(*sampler)))
    refuse(name, where);
  choice.sampler = *sampler;
  return choice;
}

std::string sampler_flags() {
  std::string flags;
  for (const auto& row : kNames) flags += (flags.empty() ? "" : ", ") + std::string(row.flag);
  return flags;
}

std::string sampler_label(const SamplerChoice& choice) {
  std::string label;
  for (const auto& row : kNames) {
    if (row.sampler == choice.sampler) label = row.label;
  }
  for (const auto& row : kSpreads) {
    if (row.sigmas == choice.sigmas && spreads_sigmas(choice.sampler)) label += row.label;
  }
  return label;
}

std::optional<Sampler> sampler_of_class(const std::string& class_name) {
  for (const auto& row : kNames) {
    if (class_name == row.class_name) return row.sampler;
  }
  return std::nullopt;
}

std::vector<std::string> sampler_classes() {
  std::vector<std::string> names;
  for (const auto& row : kNames) {
    if (names.empty() || names.back() != row.class_name) names.push_back(row.class_name);
  }
  return names;
}

bool spreads_sigmas(Sampler sampler) {
  for (const auto& row : kNames) {
    if (row.sampler == sampler) return row.sigmas;
  }
  return false;
}

bool has_eta(Sampler sampler) { return sampler == Sampler::kDdim || sampler == Sampler::kTcd; }

}  // namespace diffusion
