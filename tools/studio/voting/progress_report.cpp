#include "tools/studio/voting/progress_report.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "data/base/format.hpp"
#include "rewards/evaluation/wilson.hpp"

namespace studio {
namespace {

using rewards::TasteAnswer;

constexpr int64_t kFewestPairs = 8;      // held out, to say anything
constexpr double kQuantile = 1.96;       // of Wilson's 95 %
constexpr int64_t kMostToPromise = 500;  // answers; beyond that no number is given

Share share_by(const std::string& name,
               const at::Tensor& utility,
               const std::vector<TasteAnswer>& held_out,
               int64_t person) {
  const auto found = rewards::agreement_with(margins_by(utility, held_out), held_out, person);
  return {.name = name, .share = found.share, .pairs = found.pairs};
}

std::vector<TasteAnswer> of_person(const std::vector<TasteAnswer>& answers, int64_t person) {
  std::vector<TasteAnswer> own;
  for (const auto& answer : answers) {
    if (person < 0 || answer.person == person) own.push_back(answer);
  }
  return own;
}

Share left_share(const std::vector<StandingVote>& votes, int64_t person) {
  int64_t left = 0, decided = 0;
  for (const auto& vote : votes) {
    if (person != 0 && vote.pair.person != person) continue;
    left += vote.answer == "left";
    decided += vote.answer == "left" || vote.answer == "right";
  }
  return {.name = "left",
          .share = rewards::wilson(static_cast<double>(left), static_cast<double>(decided)),
          .pairs = decided};
}

// Heads after 10, 20, 40, .. answers, in the order in which they were given; the last is `head`.
std::vector<Head> heads_on_the_way(const std::vector<TasteAnswer>& learnt,
                                   const Head& head,
                                   const Pool& pool,
                                   const Features& features) {
  std::vector<Head> heads;
  for (size_t count = 10; count < learnt.size(); count *= 2) {
    const std::vector<TasteAnswer> first(learnt.begin(),
                                         learnt.begin() + static_cast<int64_t>(count));
    const bool decided = std::any_of(first.begin(), first.end(), [](const TasteAnswer& answer) {
      return answer.b >= 0 && answer.outcome != rewards::kTied;
    });
    if (decided) heads.push_back(fit_head(first, head.people, pool, features));
  }
  heads.push_back(head);
  return heads;
}

// Of the decided answers, those that only one of two utilities predicts.
Contest contest_of(const at::Tensor& taste,
                   const at::Tensor& other,
                   const std::vector<TasteAnswer>& held_out) {
  Contest contest;
  const at::Tensor by_taste = margins_by(taste, held_out), by_other = margins_by(other, held_out);
  for (size_t i = 0; i < held_out.size(); ++i) {
    if (held_out[i].b < 0 || held_out[i].outcome == rewards::kTied) continue;
    const bool won = held_out[i].outcome == rewards::kWonA;
    const auto place = static_cast<int64_t>(i);
    const bool one = (by_taste[place].item<double>() > 0) == won;
    const bool two = (by_other[place].item<double>() > 0) == won;
    contest.taste += one && !two;
    contest.other += two && !one;
    ++contest.pairs;
  }
  return contest;
}

std::string verdict_of(const PersonReport& report,
                       const Head& head,
                       const Features& features,
                       const std::vector<TasteAnswer>& held_out,
                       int64_t row) {
  const auto best = std::max_element(
      report.predictors.begin() + 1, report.predictors.end(),
      [](const Share& a, const Share& b) { return a.share.value < b.share.value; });
  if (best == report.predictors.end()) return verdict_on({.reward = {}}, head.answers);
  const int64_t column = best - report.predictors.begin() - 1;
  Contest contest = contest_of(head.utility[row], features.scores.select(1, column), held_out);
  contest.reward = best->name;
  contest.taste_share = report.predictors[0].share.value;
  contest.other_share = best->share.value;
  return verdict_on(contest, head.answers);
}

// Fills in how far people agree with one another and with themselves.
void add_concordance(const std::vector<StandingVote>& votes,
                     const std::vector<Person>& people,
                     Report& report) {
  std::vector<Preferences> first;
  for (const auto& person : people) first.push_back(preferences_of(votes, person.id, false));
  report[0].alpha = krippendorffs_alpha(first);
  for (size_t one = 0; one < people.size(); ++one) {
    for (size_t other = 0; other < people.size(); ++other)
      report[one + 1].with.push_back(cohens_kappa(
          first[one], one == other ? preferences_of(votes, people[one].id, true) : first[other]));
  }
}

}  // namespace

std::string verdict_on(const Contest& contest, int64_t answers) {
  if (contest.pairs < kFewestPairs)
    return data::formatted(
        "%lld of your answers only measure so far; a comparison needs %lld. About one answer in "
        "seven does.",
        static_cast<long long>(contest.pairs), static_cast<long long>(kFewestPairs));
  const auto name = contest.reward.c_str();
  const std::string figures =
      data::formatted(" (%.0f %% against %.0f %% of %lld answers)", 100 * contest.taste_share,
                      100 * contest.other_share, static_cast<long long>(contest.pairs));
  const auto differ = static_cast<double>(contest.taste + contest.other);
  const auto share = rewards::wilson(static_cast<double>(contest.taste), differ);
  if (differ > 0 && share.low > 0.5)
    return data::formatted("Your taste is predicted better than by %s%s.", name, figures.c_str());
  if (differ > 0 && share.high < 0.5)
    return data::formatted("%s still predicts your answers better than what was learnt%s.", name,
                           figures.c_str());
  const std::string undecided =
      data::formatted("Your taste and %s are not told apart yet%s.", name, figures.c_str());
  const double edge = differ > 0 ? static_cast<double>(contest.taste) / differ - 0.5 : 0;
  if (edge <= 0) return undecided;
  // Pairs on which they differ until the interval of such a share leaves a half, per pair so far.
  const double needed = kQuantile * kQuantile / 4 / (edge * edge);
  const double more = (needed / differ - 1) * static_cast<double>(answers);
  if (!(more <= kMostToPromise)) return undecided;
  return undecided +
         data::formatted(" About %lld answers more may do.",
                         static_cast<long long>(std::max(10.0, 10 * std::ceil(more / 10))));
}

Report report_of(const std::vector<StandingVote>& votes,
                 const std::vector<Person>& people,
                 const std::vector<TasteAnswer>& learnt,
                 const Head& head,
                 const Pool& pool,
                 const Features& features) {
  const auto held_out = taste_answers(votes, kHeldOut, people, pool, features);
  auto all = held_out;
  all.insert(all.end(), learnt.begin(), learnt.end());
  const auto heads = heads_on_the_way(learnt, head, pool, features);
  Report report;
  for (int64_t person = -1; person < static_cast<int64_t>(people.size()); ++person) {
    const int64_t row = person + 1;
    PersonReport one{.person = person < 0 ? 0 : people[static_cast<size_t>(person)].id};
    one.predictors.push_back(share_by("your taste", head.utility[row], held_out, person));
    for (size_t k = 0; k < features.rewards.size(); ++k)
      one.predictors.push_back(share_by(features.rewards[k],
                                        features.scores.select(1, static_cast<int64_t>(k)),
                                        held_out, person));
    const auto consistency = rewards::own_consistency(all, person);
    one.consistency = {.name = "yourself", .share = consistency.share, .pairs = consistency.pairs};
    one.left = left_share(votes, one.person);
    for (const auto& earlier : heads)
      one.curve.push_back({.answers = earlier.answers,
                           .share = share_by("", earlier.utility[row], held_out, person).share});
    for (size_t other = 0; other < people.size(); ++other)
      one.by_taste_of.push_back(share_by(
          people[other].name, head.utility[static_cast<int64_t>(other) + 1], held_out, person));
    one.verdict = verdict_of(one, head, features, of_person(held_out, person), row);
    report.push_back(std::move(one));
  }
  add_concordance(votes, people, report);
  return report;
}

}  // namespace studio
