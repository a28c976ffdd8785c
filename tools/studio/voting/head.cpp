#include "tools/studio/voting/head.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <map>

namespace studio {
namespace {

constexpr int64_t kFolds = 5;
// Ridges are chosen by the cross-validation of at most this many answers: it fits 65 times.
constexpr int64_t kAnswersOfChoice = 2000;

int64_t outcome_of(const std::string& answer) {
  return answer == "left" ? rewards::kWonA : answer == "right" ? rewards::kWonB : rewards::kTied;
}

std::vector<int64_t> prompt_numbers(const Pool& pool) {
  std::map<std::string, int64_t> numbers;
  std::vector<int64_t> prompts;
  for (const auto& image : pool.images)
    prompts.push_back(image.prompt.empty()
                          ? -1
                          : numbers.try_emplace(image.prompt, static_cast<int64_t>(numbers.size()))
                                .first->second);
  return prompts;
}

// Rows less the mean of their group. Pictures are compared inside a group alone, where scores may
// differ far less than between groups: the standard deviation that features are divided by is then
// that of what is compared. values: [N, F] -> [N, F]
at::Tensor within_groups(const at::Tensor& values, const Pool& pool) {
  at::Tensor result = values - values.mean(0);
  for (const auto& group : pool.groups) {
    const std::vector<int64_t> places(group.begin(), group.end());
    const at::Tensor rows = at::tensor(places, at::kLong);
    const at::Tensor own = values.index_select(0, rows);
    result.index_copy_(0, rows, own - own.mean(0));
  }
  return result;
}

rewards::TasteData taste_data(const std::vector<rewards::TasteAnswer>& answers,
                              const std::vector<Person>& people,
                              const Pool& pool,
                              const Features& features) {
  rewards::TasteData data{.embeddings = within_groups(features.embeddings, pool),
                          .scores = within_groups(features.scores, pool),
                          .images = {},
                          .prompts = prompt_numbers(pool),
                          .answers = answers,
                          .people = {},
                          .rewards = features.rewards};
  for (size_t i = 0; i < pool.images.size(); ++i) data.images.push_back(static_cast<int64_t>(i));
  for (const auto& person : people) data.people.push_back(person.name);
  return data;
}

// Of many answers, those that are evenly spaced choose.
rewards::Ridges ridges_for(const rewards::Comparisons& rows,
                           const std::vector<rewards::ChoiceImages>& images,
                           const rewards::Folds& folds) {
  const auto count = static_cast<int64_t>(images.size());
  if (count <= kAnswersOfChoice) return rewards::choose_ridges(rows, images, folds, -1);
  std::vector<int64_t> some;
  std::vector<rewards::ChoiceImages> their_images;
  for (int64_t i = 0; i < kAnswersOfChoice; ++i) {
    some.push_back(i * count / kAnswersOfChoice);
    their_images.push_back(images[static_cast<size_t>(some.back())]);
  }
  return rewards::choose_ridges(rewards::rows_of(rows, at::tensor(some, at::kLong)), their_images,
                                folds, -1);
}

// (sum_i p_i (1 - p_i) x_i x_i' + ridge I)^-1, with p_i of a win beside a loss.
at::Tensor covariance_of(const at::Tensor& z, const rewards::Comparisons& data, double ridge) {
  const at::Tensor p = z.sigmoid();
  const at::Tensor scaled = data.differences * (p * (1 - p) * data.weights).sqrt().unsqueeze(1);
  const at::Tensor precision =
      scaled.t().mm(scaled) + ridge * at::eye(scaled.size(1), scaled.options());
  return at::cholesky_inverse(at::linalg_cholesky(precision)).to(at::kFloat);
}

}  // namespace

Features joined(const std::vector<Features>& batches) {
  Features all{.embeddings = {}, .scores = {}, .rewards = batches.front().rewards, .read = {}};
  std::vector<at::Tensor> embeddings, scores;
  for (const auto& batch : batches) {
    embeddings.push_back(batch.embeddings);
    scores.push_back(batch.scores);
    all.read.insert(all.read.end(), batch.read.begin(), batch.read.end());
  }
  all.embeddings = at::cat(embeddings);
  all.scores = at::cat(scores);
  return all;
}

std::vector<rewards::TasteAnswer> taste_answers(const std::vector<StandingVote>& votes,
                                                const std::string& purpose,
                                                const std::vector<Person>& people,
                                                const Pool& pool,
                                                const Features& features) {
  std::vector<rewards::TasteAnswer> answers;
  for (const auto& vote : votes) {
    const auto left = pool.number_of.find(vote.pair.left);
    const auto right = pool.number_of.find(vote.pair.right);
    const auto person = std::find_if(people.begin(), people.end(),
                                     [&](const Person& one) { return one.id == vote.pair.person; });
    if (vote.pair.purpose != purpose || vote.answer == "skip" || left == pool.number_of.end() ||
        right == pool.number_of.end() || person == people.end() || !features.read[left->second] ||
        !features.read[right->second])
      continue;
    const int64_t who = person - people.begin();
    const auto a = static_cast<int64_t>(left->second), b = static_cast<int64_t>(right->second);
    answers.push_back({.a = a, .b = b, .outcome = outcome_of(vote.answer), .person = who});
    if (vote.answer != "both_bad") continue;
    for (const int64_t bad : {a, b})
      answers.push_back({.a = bad, .outcome = rewards::kWonB, .person = who});
  }
  return answers;
}

Head fit_head(const std::vector<rewards::TasteAnswer>& answers,
              const std::vector<Person>& people,
              const Pool& pool,
              const Features& features) {
  const rewards::TasteData data = taste_data(answers, people, pool, features);
  const auto standard = rewards::taste_features(data.embeddings, data.scores, data.prompts);
  const auto rows = rewards::comparisons_of(data, standard);
  const auto images = rewards::images_of(data);
  const auto folds =
      rewards::divide_into_folds(static_cast<int64_t>(pool.images.size()), images, kFolds);
  const auto ridges = ridges_for(rows, images, folds);
  const auto fit = rewards::fit_davidson(rows, ridges, rewards::zero_fit(rows));
  const at::Tensor weights = at::cat({fit.shared.unsqueeze(0), fit.shared + fit.own});  // [1+P, F]
  return {.people = people,
          .utility = weights.mm(standard.values.t()),
          .directions = standard.values.to(at::kFloat),
          .covariance = covariance_of(rewards::margins(fit, rows), rows, ridges.shared),
          .answers = static_cast<int64_t>(answers.size())};
}

int64_t row_of(const Head& head, int64_t person) {
  for (size_t i = 0; i < head.people.size(); ++i) {
    if (head.people[i].id == person) return static_cast<int64_t>(i) + 1;
  }
  return 0;
}

std::vector<double> worth_of(const Head& head, int64_t row, const std::vector<Pair>& pairs) {
  std::vector<int64_t> a, b;
  for (const auto& [first, second] : pairs) {
    a.push_back(static_cast<int64_t>(first));
    b.push_back(static_cast<int64_t>(second));
  }
  const at::Tensor first = at::tensor(a, at::kLong), second = at::tensor(b, at::kLong);
  const at::Tensor utility = head.utility[row];
  const at::Tensor p = (utility.index_select(0, first) - utility.index_select(0, second)).sigmoid();
  const at::Tensor x =
      head.directions.index_select(0, first) - head.directions.index_select(0, second);
  const at::Tensor variance = (x.mm(head.covariance) * x).sum(1).to(at::kDouble);
  const at::Tensor worth = (p * (1 - p) * variance).contiguous();
  const double* values = worth.const_data_ptr<double>();
  return {values, values + worth.numel()};
}

at::Tensor margins_by(const at::Tensor& utility, const std::vector<rewards::TasteAnswer>& answers) {
  std::vector<double> z;
  const at::Tensor all = utility.to(at::kDouble).contiguous();
  const double* value = all.const_data_ptr<double>();
  for (const auto& answer : answers)
    z.push_back(value[answer.a] - (answer.b < 0 ? 0 : value[answer.b]));
  return at::tensor(z, at::kDouble);
}

}  // namespace studio
