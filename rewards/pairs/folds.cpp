#include "rewards/pairs/folds.hpp"

#include <algorithm>
#include <map>
#include <numeric>

namespace rewards {
namespace {

constexpr int64_t kFoldsOfImages = 3;

// Disjoint sets; the smallest member names its set.
class Sets {
 public:
  explicit Sets(int64_t count) : parent_(static_cast<size_t>(count)) {
    std::iota(parent_.begin(), parent_.end(), int64_t{0});
  }
  int64_t root(int64_t i) {
    int64_t& above = parent_[static_cast<size_t>(i)];
    while (above != parent_[static_cast<size_t>(above)])
      above = parent_[static_cast<size_t>(above)];
    return above;
  }
  void join(int64_t a, int64_t b) {
    const int64_t low = std::min(root(a), root(b)), high = std::max(root(a), root(b));
    parent_[static_cast<size_t>(high)] = low;
  }

 private:
  std::vector<int64_t> parent_;
};

struct Units {
  std::vector<int64_t> of_image;    // the unit's smallest image
  std::map<int64_t, int64_t> size;  // choices of each unit
  int64_t largest = 0;
};

enum class Together { kPrompts, kCompared, kNothing };

Units units_of(int64_t images, const std::vector<ChoiceImages>& choices, Together together) {
  int64_t prompts = 0;
  for (const auto& choice : choices) prompts = std::max(prompts, choice.prompt + 1);
  Sets sets(images + prompts);
  for (const auto& choice : choices) {
    if (together != Together::kNothing) sets.join(choice.a, choice.b);
    if (together == Together::kPrompts && choice.prompt >= 0)
      sets.join(choice.a, images + choice.prompt);
  }
  Units units;
  for (int64_t i = 0; i < images; ++i) {
    units.of_image.push_back(sets.root(i));
    units.size[units.of_image.back()] += 0;
  }
  for (const auto& choice : choices) {
    int64_t& size = units.size[units.of_image[static_cast<size_t>(choice.a)]];
    units.largest = std::max(units.largest, ++size);
  }
  return units;
}

Folds dealt(const Units& units, int64_t count, const char* unit) {
  std::vector<std::pair<int64_t, int64_t>> order;  // minus choices, unit
  for (const auto& [id, size] : units.size) order.emplace_back(-size, id);
  std::sort(order.begin(), order.end());
  std::vector<int64_t> load(static_cast<size_t>(count));
  std::map<int64_t, int64_t> fold_of;
  for (const auto& [minus_choices, id] : order) {
    const auto least = std::min_element(load.begin(), load.end());
    fold_of[id] = least - load.begin();
    *least += 1 - minus_choices;  // a unit without choices counts too
  }
  Folds folds{.of_image = {}, .count = count, .unit = unit};
  for (const int64_t id : units.of_image) folds.of_image.push_back(fold_of.at(id));
  return folds;
}

}  // namespace

Folds divide_into_folds(int64_t images, const std::vector<ChoiceImages>& choices, int64_t count) {
  const auto serves = [&](const Units& units) {
    return static_cast<int64_t>(units.size.size()) >= count &&
           2 * units.largest <= static_cast<int64_t>(choices.size());
  };
  const bool prompts = std::any_of(choices.begin(), choices.end(),
                                   [](const ChoiceImages& one) { return one.prompt >= 0; });
  const Units by_prompt = units_of(images, choices, Together::kPrompts);
  if (prompts && serves(by_prompt)) return dealt(by_prompt, count, "prompts");
  const Units compared = units_of(images, choices, Together::kCompared);
  if (serves(compared)) return dealt(compared, count, "groups of compared images");
  return dealt(units_of(images, choices, Together::kNothing), std::min(count, kFoldsOfImages),
               "images");
}

bool is_held_out(const Folds& folds, const ChoiceImages& choice, int64_t fold) {
  return folds.of_image[static_cast<size_t>(choice.a)] == fold &&
         folds.of_image[static_cast<size_t>(choice.b)] == fold;
}

bool is_outside(const Folds& folds, const ChoiceImages& choice, int64_t fold) {
  return folds.of_image[static_cast<size_t>(choice.a)] != fold &&
         folds.of_image[static_cast<size_t>(choice.b)] != fold;
}

}  // namespace rewards
