#include "tools/pairs/output.hpp"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/format.hpp"
#include "data/base/json.hpp"
#include "data/storage/relative_path.hpp"
#include "rewards/evaluation/wilson.hpp"

namespace fs = std::filesystem;
using data::BadInput;
using nlohmann::ordered_json;

namespace tools {
namespace {

constexpr size_t kBands = 5;

const char* winner_name(double p) { return p > 0.5 ? "a" : p < 0.5 ? "b" : "tie"; }

// The decided labels from the weakest to the strongest, in five parts.
struct Band {
  int64_t labels = 0, kept = 0, flipped = 0, dropped = 0, softened = 0;
  double strength = 0, share = 0;  // means; share: of the votes for the label's winner
};
std::vector<Band> bands_of(const std::vector<CleanPair>& pairs) {
  std::vector<const CleanPair*> decided;
  for (const auto& pair : pairs) {
    if (pair.label.p != 0.5) decided.push_back(&pair);
  }
  std::stable_sort(decided.begin(), decided.end(), [](const auto* one, const auto* other) {
    return strength_of_label(*one) < strength_of_label(*other);
  });
  std::vector<Band> bands(kBands);
  for (size_t i = 0; i < decided.size(); ++i) {
    Band& band = bands[i * kBands / decided.size()];
    const CleanPair& pair = *decided[i];
    ++band.labels;
    band.kept += pair.fate == rewards::Fate::kKept;
    band.flipped += pair.fate == rewards::Fate::kFlipped;
    band.dropped += pair.fate == rewards::Fate::kDropped;
    band.softened += pair.fate == rewards::Fate::kSoftened;
    band.strength += strength_of_label(pair);
    band.share += pair.label.p > 0.5 ? pair.strength.share : 1 - pair.strength.share;
  }
  for (auto& band : bands) {
    if (band.labels == 0) continue;
    band.strength /= static_cast<double>(band.labels);
    band.share /= static_cast<double>(band.labels);
  }
  return bands;
}

struct Totals {
  int64_t flipped = 0, dropped = 0, softened = 0, ties = 0, written = 0;
  int64_t against = 0, decided = 0;  // decided labels that the mean vote is against
};
Totals totals_of(const std::vector<CleanPair>& pairs) {
  Totals totals;
  for (const auto& pair : pairs) {
    const bool dropped = pair.fate == rewards::Fate::kDropped;
    totals.flipped += pair.fate == rewards::Fate::kFlipped;
    totals.dropped += dropped;
    totals.softened += pair.fate == rewards::Fate::kSoftened;
    totals.written += !dropped;
    totals.ties += !dropped && pair.p == 0.5;
    if (pair.label.p == 0.5) continue;
    ++totals.decided;
    totals.against += strength_of_label(pair) < 0;
  }
  return totals;
}

ordered_json scores_of(int64_t picture,
                       const std::vector<const std::vector<double>*>& columns,
                       const std::vector<std::string>& names) {
  ordered_json scores = ordered_json::object();
  for (size_t k = 0; k < names.size(); ++k)
    scores[names[k]] = (*columns[k])[static_cast<size_t>(picture)];
  return scores;
}

std::string share_of(double part, double all) {
  const auto share = rewards::wilson(part, all);
  return data::formatted("%.1f %% [%.1f, %.1f]", 100 * share.value, 100 * share.low,
                         100 * share.high);
}

ordered_json share_json_of(double part, double all) {
  const auto share = rewards::wilson(part, all);
  return {{"value", share.value}, {"interval", {share.low, share.high}}};
}

using Number = long long;

}  // namespace

void write_choices(const fs::path& output,
                   const Cleaned& cleaned,
                   const Labels& labels,
                   PictureTable& table) {
  std::vector<const std::vector<double>*> columns;
  for (const auto& name : table.columns()) columns.push_back(&table.values(name, "--scores"));
  const fs::path folder = output.parent_path();
  data::write_file_in_pieces(output, [&](const data::Append& append) {
    for (const auto& pair : cleaned.pairs) {
      if (pair.fate == rewards::Fate::kDropped) continue;
      ordered_json line{{"prompt", table.prompt_text(pair.label.prompt)},
                        {"a", data::relative_path(table.file(pair.label.a), folder)},
                        {"b", data::relative_path(table.file(pair.label.b), folder)},
                        {"winner", winner_name(pair.p)},
                        {"p", pair.p},
                        {"weight", pair.label.weight},
                        {"rule", rewards::name_of(pair.fate)}};
      if (pair.label.person >= 0)
        line["person"] = labels.people[static_cast<size_t>(pair.label.person)];
      if (cleaned.voted) {
        const double strength = pair.p < 0.5 ? -pair.strength.mean : pair.strength.mean;
        line["strength"] = strength;
        line["deviation"] = pair.strength.deviation;
        line["margin"] = rewards::adaptive_margin(strength);
      }
      if (!columns.empty())
        line["scores"] = {{"a", scores_of(pair.label.a, columns, table.columns())},
                          {"b", scores_of(pair.label.b, columns, table.columns())}};
      const std::string text = data::to_text(line) + "\n";
      append(text.data(), text.size());
    }
  });
}

ordered_json report_json_of(const Cleaned& cleaned, const Labels& labels) {
  const Totals totals = totals_of(cleaned.pairs);
  ordered_json report{{"labels_from", labels.source},
                      {"answers", labels.answers},
                      {"passed_over", labels.passed_over},
                      {"contradictory", labels.contradictory},
                      {"labels", cleaned.labels},
                      {"consensus", ordered_json::array()},
                      {"without_duel", cleaned.without_duel},
                      {"without_votes", cleaned.without_votes},
                      {"flipped", totals.flipped},
                      {"dropped", totals.dropped},
                      {"softened", totals.softened},
                      {"written", totals.written},
                      {"ties", totals.ties}};
  for (const auto& one : cleaned.consensus)
    report["consensus"].push_back({{"source", one.source},
                                   {"compared", one.compared},
                                   {"alike", one.alike},
                                   {"unknown", one.unknown}});
  if (!cleaned.voted) return report;
  report["votes_against"] =
      share_json_of(static_cast<double>(totals.against), static_cast<double>(totals.decided));
  report["folds_of"] = cleaned.folds_of;
  for (const auto& member : cleaned.members) {
    ordered_json one = share_json_of(member.agreed, static_cast<double>(member.votes));
    one["name"] = member.name;
    one["votes"] = member.votes;
    report["members"].push_back(one);
  }
  for (const auto& band : bands_of(cleaned.pairs))
    report["fifths"].push_back({{"labels", band.labels},
                                {"mean_strength", band.strength},
                                {"share_of_votes", band.share},
                                {"kept", band.kept},
                                {"flipped", band.flipped},
                                {"dropped", band.dropped},
                                {"softened", band.softened}});
  return report;
}

std::string report_text_of(const Cleaned& cleaned, const Labels& labels) {
  const Totals totals = totals_of(cleaned.pairs);
  const auto number = [](int64_t value) { return static_cast<Number>(value); };
  std::string text = data::formatted("%lld answers of %s: %lld labels, %lld contradictory\n",
                                     number(labels.answers), labels.source.c_str(),
                                     number(cleaned.labels), number(labels.contradictory));
  for (const auto& one : cleaned.consensus)
    text += data::formatted("consensus %s: %lld of %lld placed alike, %lld unknown to it\n",
                            one.source.c_str(), number(one.alike), number(one.compared),
                            number(one.unknown));
  if (cleaned.without_duel > 0)
    text +=
        data::formatted("duel then point: %lld labels passed over\n", number(cleaned.without_duel));
  if (cleaned.voted) {
    text += "votes against the label: " +
            share_of(static_cast<double>(totals.against), static_cast<double>(totals.decided)) +
            "\n  voter                   for the label            votes\n";
    for (const auto& member : cleaned.members)
      text += data::formatted("  %-22s  %-22s  %6lld\n", member.name.c_str(),
                              share_of(member.agreed, static_cast<double>(member.votes)).c_str(),
                              number(member.votes));
    text +=
        "  fifth by strength  labels  mean strength  votes for it  flipped  dropped  softened\n";
    const auto bands = bands_of(cleaned.pairs);
    for (size_t i = 0; i < bands.size(); ++i)
      text += data::formatted(
          "  %zu                  %6lld  %13.3f  %10.1f %%  %7lld  %7lld  %8lld\n", i + 1,
          number(bands[i].labels), bands[i].strength, 100 * bands[i].share,
          number(bands[i].flipped), number(bands[i].dropped), number(bands[i].softened));
  }
  return text +
         data::formatted("%lld choices (%lld flipped, %lld softened, %lld ties), %lld dropped\n",
                         number(totals.written), number(totals.flipped), number(totals.softened),
                         number(totals.ties), number(totals.dropped));
}

std::string doubt_about(const Cleaned& cleaned) {
  const Totals totals = totals_of(cleaned.pairs);
  const double highest =
      rewards::wilson(static_cast<double>(totals.against), static_cast<double>(totals.decided))
          .high;
  if (totals.flipped == 0 || highest < 0.5) return "";
  return data::formatted(
      "votes stand against up to %.0f %% of the labels, as chance would: a label that they "
      "exchange "
      "may have been right; use --drop alone, or --scores that tell what people prefer",
      100 * highest);
}

void write_best_folder(const fs::path& folder,
                       const std::vector<int64_t>& pictures,
                       const std::vector<double>& scores,
                       const PictureTable& table) {
  std::error_code error;
  if (fs::exists(folder, error) &&
      !(fs::is_directory(folder, error) && fs::is_empty(folder, error)))
    throw BadInput("--best " + folder.string() + ": expected a new folder, found one with files");
  const auto prompt_of = [&](int64_t picture) {
    return table.prompts()[static_cast<size_t>(picture)];
  };
  const auto named = std::count_if(pictures.begin(), pictures.end(),
                                   [&](int64_t picture) { return prompt_of(picture) >= 0; });
  fs::path draft = folder;
  draft += ".tmp";
  fs::remove_all(draft);
  fs::create_directories(draft);
  std::string list;
  for (size_t i = 0; i < pictures.size(); ++i) {
    const fs::path& file = table.file(pictures[i]);
    if (named > 0 && prompt_of(pictures[i]) < 0)
      throw BadInput("--best: expected a prompt of each picture or of none, found none of " +
                     file.string());
    const std::string name = data::formatted("%07zu", i) + file.extension().string();
    fs::create_symlink(data::relative_path(file, folder), draft / name);
    list += data::to_text(ordered_json{{"file_name", name},
                                       {"text", table.prompt_text(prompt_of(pictures[i]))},
                                       {"score", scores[static_cast<size_t>(pictures[i])]}}) +
            "\n";
  }
  if (named > 0) data::write_file(draft / "metadata.jsonl", list);
  fs::rename(draft, folder);
}

}  // namespace tools
