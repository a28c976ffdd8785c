#include "tools/pairs/labels.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <unordered_map>

#include "data/base/error.hpp"
#include "data/base/splitmix.hpp"
#include "data/base/strings.hpp"
#include "rewards/pairs/choices.hpp"

using data::BadInput;

namespace tools {
namespace {

constexpr size_t kMostPairs = 4'000'000;

Labels labels_merged(const std::vector<rewards::LabelledPair>& answers, const std::string& source) {
  Labels labels{.pairs = {}, .source = source};
  labels.answers = static_cast<int64_t>(answers.size());
  auto found = rewards::merged_labels(answers);
  labels.pairs = std::move(found.pairs);
  labels.contradictory = found.contradictory;
  return labels;
}

void add_choice(const rewards::Choice& choice,
                const std::string& path,
                std::map<std::string, int64_t>& people,
                PictureTable& table,
                std::vector<rewards::LabelledPair>& answers) {
  const int64_t a = table.add(choice.a, choice.prompt, path);
  const int64_t b = table.add(choice.b, choice.prompt, path);
  if (a == b)
    throw BadInput(path + ": " + choice.a.string() + ": expected two pictures, found one twice");
  const int64_t person =
      choice.person.empty()
          ? -1
          : people.try_emplace(choice.person, static_cast<int64_t>(people.size())).first->second;
  answers.push_back({table.prompt_number(choice.prompt), a, b, rewards::label_of(choice.answer),
                     choice.weight, person});
}

// Pairs i < j of `count`: all, or `most` of them.
std::vector<std::pair<size_t, size_t>> drawn_pairs(size_t count, int64_t most, uint64_t seed) {
  std::vector<std::pair<size_t, size_t>> pairs;
  if (count < 2) return pairs;
  const double all = 0.5 * static_cast<double>(count) * static_cast<double>(count - 1);
  if (all <= static_cast<double>(most)) {
    for (size_t i = 0; i < count; ++i) {
      for (size_t j = i + 1; j < count; ++j) pairs.emplace_back(i, j);
    }
    return pairs;
  }
  std::set<std::pair<size_t, size_t>> chosen;
  for (uint64_t draw = 0; chosen.size() < static_cast<size_t>(most); ++draw) {
    const uint64_t bits = data::splitmix64(seed + draw * data::kSplitmixStep);
    const size_t i = (bits >> 32) % count, j = (bits & 0xffffffffu) % count;
    if (i != j) chosen.emplace(std::min(i, j), std::max(i, j));
  }
  return {chosen.begin(), chosen.end()};
}

}  // namespace

Labels labels_of_choices(const std::vector<std::string>& paths, PictureTable& table) {
  std::vector<rewards::LabelledPair> answers;
  std::map<std::string, int64_t> people;
  int64_t passed_over = 0;
  std::vector<std::string> left_out;
  for (const auto& path : paths) {
    const rewards::Choices read = rewards::read_choices(path);
    passed_over += static_cast<int64_t>(read.likes.size());
    left_out.insert(left_out.end(), read.left_out.begin(), read.left_out.end());
    for (const auto& choice : read.pairs) {
      if (choice.answer == rewards::Answer::kBothBad)
        ++passed_over;
      else
        add_choice(choice, path, people, table, answers);
    }
    if (answers.size() > kMostPairs)
      throw BadInput(path + ": expected at most 4,000,000 choices in all; split them");
  }
  if (answers.empty())
    throw BadInput(paths.front() + ": expected choices between two pictures, found none");
  Labels labels = labels_merged(answers, "choices");
  labels.people.resize(people.size());
  for (const auto& [name, number] : people) labels.people[static_cast<size_t>(number)] = name;
  labels.passed_over = passed_over;
  labels.left_out = std::move(left_out);
  return labels;
}

Labels labels_of_judgements(const rewards::Judgements& judgements,
                            const std::string& source,
                            PictureTable& table) {
  std::set<std::pair<int64_t, int64_t>> asked;  // pairs before the orders are compared
  for (const auto& pair : judgements.pairs) {
    const int64_t a = table.add(pair.a, pair.prompt, source);
    const int64_t b = table.add(pair.b, pair.prompt, source);
    asked.emplace(std::min(a, b), std::max(a, b));
  }
  Labels labels{.pairs = {}, .source = "judgements"};
  labels.answers = static_cast<int64_t>(judgements.pairs.size());
  for (const auto& pair : rewards::merge_orders(judgements.pairs).pairs) {
    double sum = 0;
    for (const auto& [axis, p] : pair.axes) sum += p - 0.5;
    labels.pairs.push_back({table.prompt_number(pair.prompt),
                            table.add(pair.a, pair.prompt, source),
                            table.add(pair.b, pair.prompt, source),
                            sum > 0   ? 1.0
                            : sum < 0 ? 0.0
                                      : 0.5,
                            1, -1});
  }
  labels.contradictory = static_cast<int64_t>(asked.size() - labels.pairs.size());
  return labels;
}

void add_points(const rewards::Judgements& judgements,
                const std::string& source,
                bool add_new,
                PictureTable& table) {
  struct Sum {
    double sum = 0, count = 0;
  };
  std::map<std::pair<int64_t, std::string>, Sum> sums;
  const auto note = [&](int64_t picture, const std::string& column, double value) {
    Sum& own = sums[{picture, column}];
    own.sum += value;
    own.count += 1;
  };
  for (const auto& point : judgements.points) {
    if (point.axes.empty() || (!add_new && table.find(point.image) < 0)) continue;
    const int64_t picture = table.add(point.image, point.prompt, source);
    double sum = 0;
    for (const auto& [axis, bins] : point.axes) {
      note(picture, "judge." + axis, rewards::mean_of(bins));
      sum += rewards::mean_of(bins);
    }
    note(picture, "judge", sum / static_cast<double>(point.axes.size()));
  }
  for (const auto& [place, own] : sums) table.set(place.first, place.second, own.sum / own.count);
}

Labels labels_of_scores(const std::vector<double>& scores,
                        const std::vector<int64_t>& prompts,
                        int64_t most,
                        uint64_t seed) {
  std::unordered_map<int64_t, size_t> place;
  std::vector<std::vector<int64_t>> groups;
  for (size_t i = 0; i < scores.size(); ++i) {
    if (!std::isfinite(scores[i])) continue;
    const auto [found, fresh] = place.try_emplace(prompts[i], groups.size());
    if (fresh) groups.emplace_back();
    groups[found->second].push_back(static_cast<int64_t>(i));
  }
  Labels labels{.pairs = {}, .source = "scores"};
  for (size_t g = 0; g < groups.size(); ++g) {
    const auto& own = groups[g];
    for (const auto& [i, j] :
         drawn_pairs(own.size(), most, data::splitmix64(seed + g * data::kSplitmixStep))) {
      const double gap = scores[static_cast<size_t>(own[i])] - scores[static_cast<size_t>(own[j])];
      labels.pairs.push_back({prompts[static_cast<size_t>(own[i])], own[i], own[j],
                              gap > 0   ? 1.0
                              : gap < 0 ? 0.0
                                        : 0.5,
                              1, -1});
    }
    if (labels.pairs.size() > kMostPairs)
      throw BadInput("--scores: expected at most 4,000,000 pairs; lower --pairs_per_prompt");
  }
  if (labels.pairs.empty())
    throw BadInput(
        "--scores: expected several pictures of a prompt with a score, found one of each; sample "
        "more, as laurel sample --count 16");
  labels.answers = static_cast<int64_t>(labels.pairs.size());
  return labels;
}

}  // namespace tools
