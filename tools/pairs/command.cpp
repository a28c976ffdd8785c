// `laurel pairs`: scores, judgements and people's choices -> choices to train on, and a report.

#include "tools/pairs/command.hpp"

#include <iostream>
#include <nlohmann/json.hpp>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "data/base/log.hpp"
#include "tools/cli/failure.hpp"
#include "tools/cli/options.hpp"
#include "tools/pairs/clean.hpp"
#include "tools/pairs/config.hpp"
#include "tools/pairs/output.hpp"
#include "tools/train_reward/judge_student/images.hpp"

using data::BadInput;

namespace tools {
namespace {

// The scores of the files, of all pictures or of those that the table has.
void add_scores(const CleaningConfig& config,
                const rewards::Judgements& judgements,
                bool add_new,
                PictureTable& table) {
  for (const auto& path : config.scores) read_scores_into(table, path, add_new);
  add_points(judgements, "--judgements", add_new, table);
}

// People's choices, without any a judge's pairs, without any the order of --by. Their pictures have
// their scores afterwards.
Labels read_labels(const CleaningConfig& config,
                   const rewards::Judgements& judgements,
                   PictureTable& table) {
  const bool by_choices = !config.choices.empty();
  const bool by_judge = !by_choices && !judgements.pairs.empty() && config.by.empty();
  Labels labels;
  if (by_choices) labels = labels_of_choices(config.choices, table);
  if (by_judge) labels = labels_of_judgements(judgements, "--judgements", table);
  add_scores(config, judgements, !by_choices && !by_judge, table);
  if (!by_choices && !by_judge) {
    if (config.by.empty())
      throw BadInput(
          "pairs: expected --choices, judged pairs or --by SCORE to label with, found none");
    labels = labels_of_scores(table.values(config.by, "--by"), table.prompts(),
                              config.pairs_per_prompt, static_cast<uint64_t>(config.seed));
  }
  return labels;
}

int write_clean_choices(const CleaningConfig& config, const rewards::Judgements& judgements) {
  PictureTable table;
  const Labels labels = read_labels(config, judgements, table);
  for (const auto& line : labels.left_out) data::log_error(line);
  check_pictures_exist(table, "--" + labels.source);
  const Cleaned cleaned = clean_labels(labels, judgements, config, table);
  write_choices(config.output, cleaned, labels, table);
  if (!config.report.empty())
    data::write_file(config.report, data::to_text(report_json_of(cleaned, labels), 2) + "\n");
  std::cout << report_text_of(cleaned, labels) << "wrote " << config.output << "\n";
  if (const std::string doubt = doubt_about(cleaned); !doubt.empty()) data::log_warning(doubt);
  if (cleaned.without_votes > 0)
    data::log_error(
        std::to_string(cleaned.without_votes) +
        " pairs left out: a score of a picture is missing, or no member could be learnt "
        "without them");
  return cleaned.without_votes > 0 || !labels.left_out.empty() ? kBadInput : 0;
}

void write_best(const CleaningConfig& config, const rewards::Judgements& judgements) {
  PictureTable table;
  add_scores(config, judgements, true, table);
  const std::string by = config.keep_by.empty() ? config.by : config.keep_by;
  if (by.empty()) throw BadInput("--keep_best: expected --keep_by SCORE, found none");
  check_pictures_exist(table, "--scores");
  const auto scores = table.values(by, "--keep_by");
  const auto kept = rewards::best_of_each(scores, table.prompts(), config.keep_best);
  if (kept.empty())
    throw BadInput("--keep_best: expected pictures with a score of " + by + ", found none");
  if (static_cast<int64_t>(kept.size()) == table.size())
    throw BadInput(
        "--keep_best: expected several pictures of a prompt, of which it keeps a part; "
        "found none");
  write_best_folder(config.best, kept, scores, table);
  std::cout << "the best " << kept.size() << " of " << table.size() << " pictures by " << by
            << ": wrote " << config.best << "\n";
}

int pairs_command(const std::vector<std::string>& arguments) {
  CleaningConfig config;
  Options options("pairs", "Choices to train on, from scores, judgements and people's choices.");
  declare_cleaning(options, config);
  const auto parsed = options.parse(arguments);
  if (!parsed.proceed) return 0;
  if (!parsed.positional.empty())
    throw BadInput("laurel pairs: unexpected '" + parsed.positional[0] +
                   "'; name files by --choices, --judgements or --scores");
  check_settings(config);
  const rewards::Judgements judgements = read_all_judgements(config.judgements);
  if (!config.best.empty()) write_best(config, judgements);
  return config.output.empty() ? 0 : write_clean_choices(config, judgements);
}

}  // namespace

const Command kPairs{"pairs", "choices to train on, from scores, judgements and choices",
                     pairs_command};

}  // namespace tools
