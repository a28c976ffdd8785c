#include "rewards/pairs/taste.hpp"

#include <ATen/ATen.h>

#include <algorithm>

#include "data/base/error.hpp"
#include "data/base/shape.hpp"
#include "data/base/strings.hpp"

namespace rewards {

int64_t row_of_person(const Taste& taste, const std::string& person) {
  if (person.empty()) return 0;
  const auto found = std::find(taste.people.begin(), taste.people.end(), person);
  if (found != taste.people.end()) return found - taste.people.begin() + 1;
  const std::string near = data::nearest(person, taste.people);
  throw data::BadInput("person '" + person + "': not in this taste" +
                       (!near.empty()          ? "; did you mean " + near + "?"
                        : taste.people.empty() ? ", which holds one person's choices"
                                               : " of " + data::joined(taste.people, ", ")));
}

at::Tensor taste_scores(const Taste& taste,
                        int64_t row,
                        const at::Tensor& embeddings,
                        const at::Tensor& scores) {
  data::check_shape(embeddings, {-1, taste.weight.size(1)}, "taste_scores: embeddings");
  data::check_shape(scores, {embeddings.size(0), taste.score_weight.size(1)},
                    "taste_scores: scores");
  return embeddings.mv(taste.weight[row]) + scores.mv(taste.score_weight[row]) + taste.bias[row];
}

Taste mean_of_members(Taste taste, std::vector<Taste> members) {
  TORCH_CHECK(!members.empty(), "mean_of_members: expected at least one");
  const auto mean = [&](at::Tensor Taste::*tensor) {
    std::vector<at::Tensor> all;
    for (const auto& member : members) all.push_back(member.*tensor);
    return at::stack(all).mean(0);
  };
  taste.weight = mean(&Taste::weight);
  taste.score_weight = mean(&Taste::score_weight);
  taste.bias = mean(&Taste::bias);
  taste.members = std::move(members);
  return taste;
}

}  // namespace rewards
