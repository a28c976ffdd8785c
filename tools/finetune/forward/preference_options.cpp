#include <memory>

#include "data/base/error.hpp"
#include "finetune/forward/methods/preference.hpp"
#include "tools/finetune/forward/rows.hpp"

namespace tools {
namespace {

void defaults_of_preferences(finetune::ForwardConfig& config) { config.draws = 2; }

// Words of --logit and --reference.
struct PreferenceWords {
  std::string logit = "mean", reference = "base";
  void put_into(finetune::PreferenceConfig& config) const {
    config.logit_of_mean = logit == "mean";
    config.reference = reference == "base";
  }
};

void declare_preference(Options& options,
                        finetune::PreferenceConfig& config,
                        PreferenceWords& words,
                        finetune::ForwardConfig& training) {
  options.number("beta", config.beta,
                 "a unit of squared error; published for means over D values: D times as much",
                 1e-9, 1e9);
  options.rare().choice("logit", words.logit, {"mean", "draw"},
                        "of the mean error over the draws, or the mean loss over them");
  options.rare().number("label_temperature", config.temperature,
                        "online: of soft labels, in spreads of the reward within a prompt at the "
                        "start",
                        1e-6, 1e300);
  declare_snr_gamma(options, training);
}

void declare_reference(Options& options, PreferenceWords& words) {
  options.choice("reference", words.reference, {"base", "none"},
                 "subtract the starting model's error, or not");
}

void declare_margin_scale(Options& options, finetune::ForwardConfig& training) {
  options.rare().number("margin_scale", training.margin_scale,
                        "with --pairs: logits a unit of a choice's own margin; 0: it is not read",
                        0, 1e9);
}

void declare_cache(Options& options, finetune::ForwardConfig& training) {
  options.rare().flag("cache_reference", training.cache_reference,
                      "with --pairs: compute the starting model's errors once; each choice then "
                      "keeps its draws of noise");
}

// What the words say goes into the config.
void resolve_preference(const PreferenceWords& words,
                        finetune::PreferenceConfig& config,
                        const finetune::ForwardConfig& training) {
  words.put_into(config);
  if (training.cache_reference && !config.reference)
    throw data::BadInput(
        "cache_reference: expected reference base, found none: there are no errors to keep; leave "
        "it out");
}

std::function<finetune::ForwardMethod()> declare_dpo(Options& options,
                                                     finetune::ForwardConfig& training) {
  const auto config = std::make_shared<finetune::DpoConfig>();
  const auto words = std::make_shared<PreferenceWords>();
  declare_preference(options, *config, *words, training);
  options.number("margin", config->margin, "logits by which the preferred image is to lead", 0,
                 1e9);
  declare_margin_scale(options, training);
  declare_reference(options, *words);
  declare_cache(options, training);
  return [config, words, &training] {
    resolve_preference(*words, *config, training);
    return finetune::dpo_method(*config);
  };
}

std::function<finetune::ForwardMethod()> declare_ipo(Options& options,
                                                     finetune::ForwardConfig& training) {
  const auto config = std::make_shared<finetune::IpoConfig>();
  const auto words = std::make_shared<PreferenceWords>();
  declare_preference(options, *config, *words, training);
  options.number("tau", config->tau, "the logit of a sure pair is to be 1 / (2 tau)", 1e-9, 1e9);
  declare_margin_scale(options, training);
  declare_reference(options, *words);
  declare_cache(options, training);
  return [config, words, &training] {
    resolve_preference(*words, *config, training);
    return finetune::ipo_method(*config);
  };
}

std::function<finetune::ForwardMethod()> declare_kto(Options& options,
                                                     finetune::ForwardConfig& training) {
  const auto config = std::make_shared<finetune::KtoConfig>();
  const auto words = std::make_shared<PreferenceWords>();
  declare_preference(options, *config, *words, training);
  declare_cache(options, training);
  options.rare().number("desirable_weight", config->desirable_weight, "of images that are liked", 0,
                        1e9);
  options.rare().number("undesirable_weight", config->undesirable_weight, "of the others", 0, 1e9);
  return [config, words] {
    words->put_into(*config);
    return finetune::kto_method(*config);
  };
}

std::function<finetune::ForwardMethod()> declare_simpo(Options& options,
                                                       finetune::ForwardConfig& training) {
  const auto config = std::make_shared<finetune::DpoConfig>(finetune::simpo_config());
  const auto words = std::make_shared<PreferenceWords>();
  words->reference = "none";
  declare_preference(options, *config, *words, training);
  options.number("margin", config->margin, "logits by which the preferred image is to lead", 0,
                 1e9);
  declare_margin_scale(options, training);
  return [config, words] {
    words->put_into(*config);
    return finetune::simpo_method(*config);
  };
}

}  // namespace

const ForwardRow kDpoRow{"dpo", defaults_of_preferences, declare_dpo};
const ForwardRow kIpoRow{"ipo", defaults_of_preferences, declare_ipo};
const ForwardRow kKtoRow{"kto", defaults_of_preferences, declare_kto};
const ForwardRow kSimpoRow{"simpo", defaults_of_preferences, declare_simpo};

}  // namespace tools
