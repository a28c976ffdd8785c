#include "tools/pairs/config.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "data/base/error.hpp"

using data::BadInput;

namespace tools {
namespace {

double share_in(const std::string& text, const std::string& all) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (text.empty() || *end != '\0' || !std::isfinite(value))
    throw BadInput("--drop: expected FROM:TO, two shares as 0.2:0.4, found '" + all + "'");
  return value;
}

}  // namespace

void declare_cleaning(Options& options, CleaningConfig& config) {
  options.list("choices", config.choices, "people's choices, of any form (docs/rewards.md)");
  options.list("judgements", config.judgements, "of laurel judge: pairs and points");
  options.list("scores", config.scores, "of laurel score --format jsonl");
  options.text("output", config.output, "JSONL of the choices");
  options.short_name("output", 'o');
  options.text("report", config.report, "JSON of the report that is printed");
  options.group("labels");
  options.text("by", config.by, "the score that labels pairs of a prompt, without choices");
  options.integer("pairs_per_prompt", config.pairs_per_prompt, "at most, of those", 1, 1000000);
  options.list("consensus", config.consensus,
               "keep what it places alike: vote, judgements or a file of choices");
  options.text("points", config.points, "a score: best winner against worst loser of each prompt");
  options.number("least_gap", config.least_gap, "of --points between the two", 0, 1e9);
  options.group("votes");
  options.text("members", config.members, "scores that vote, or that members learn from [all]");
  options.integer("cross_fit", config.cross_fit,
                  "members learnt from other folds' labels; 0: the scores vote", 0, 100);
  options.rare().integer("folds", config.folds, "of --cross_fit", 2, 20);
  options.rare().number("ridge", config.ridge, "of --cross_fit", 1e-6, 1e6);
  options.number("flip", config.flip, "share of the weakest labels that is exchanged", 0, 1);
  options.text("drop", config.drop, "FROM:TO, shares from the weakest, left out: 0.2:0.4");
  options.number("soften", config.soften, "share of the strongest labels that is softened", 0, 1);
  options.rare().number("soft_label", config.soft_label, "p of a softened label", 0.5, 1);
  options.choice("probability", config.probability, {"choice", "normal", "share"},
                 "p of a choice: the label, Phi(mean / deviation) or share of the votes");
  options.group("the best pictures");
  options.number("keep_best", config.keep_best, "of each prompt: a number, or a share below 1", 0,
                 1e6);
  options.text("keep_by", config.keep_by, "the score [that of --by]");
  options.text("best", config.best, "new folder of links with captions, for --data");
  options.group("");
  options.rare().integer("seed", config.seed, "of drawn pairs and of --cross_fit", 0);
}

rewards::LabelRules rules_of(const CleaningConfig& config) {
  rewards::LabelRules rules{
      .flip = config.flip, .soften = config.soften, .soft_label = config.soft_label};
  if (!config.drop.empty()) {
    const size_t colon = std::min(config.drop.find(':'), config.drop.size());
    rules.drop_from = share_in(config.drop.substr(0, colon), config.drop);
    rules.drop_to =
        share_in(config.drop.substr(std::min(colon + 1, config.drop.size())), config.drop);
  }
  const std::string fault = rewards::fault_of(rules);
  if (!fault.empty()) throw BadInput("--flip, --drop, --soften: " + fault);
  return rules;
}

rewards::CrossFitting cross_fitting_of(const CleaningConfig& config) {
  return {.members = config.cross_fit,
          .folds = config.folds,
          .ridge = config.ridge,
          .seed = static_cast<uint64_t>(config.seed)};
}

bool needs_votes(const CleaningConfig& config) {
  return config.flip > 0 || config.soften > 0 || !config.drop.empty() ||
         config.probability != "choice" || config.cross_fit > 0 || !config.members.empty() ||
         std::find(config.consensus.begin(), config.consensus.end(), "vote") !=
             config.consensus.end();
}

void check_settings(const CleaningConfig& config) {
  rules_of(config);
  if (config.output.empty() && config.best.empty())
    throw BadInput("pairs: expected --output FILE or --best FOLDER, found neither");
  if (config.choices.empty() && config.judgements.empty() && config.scores.empty())
    throw BadInput("pairs: expected --choices, --judgements or --scores, found none");
  if ((config.keep_best > 0) != !config.best.empty())
    throw BadInput("--best: expected a folder together with --keep_best, found one of the two");
  if (config.scores.empty() && config.judgements.empty() && needs_votes(config))
    throw BadInput("pairs: expected --scores of the pictures to vote with, found none");
}

}  // namespace tools
