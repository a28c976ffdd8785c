#include "rewards/social/preference_pairs.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>

namespace rewards {
namespace {

constexpr size_t kPositions = 21;  // 0: unknown; later ones count as the last
constexpr size_t kFirstPosition = 1;
constexpr size_t kLevels = 12;
constexpr double kPriorExposure =
    4;  // pseudo-views at the mean rate, which shrink rates of few views
constexpr int kRounds = 200;

// A person's first view of an image, with the strongest action on it.
struct View {
  int64_t user = 0, image = 0;
  size_t position = 0, level = 0;
  double action = 0;  // its weight; 0: none
};

size_t level_of(int64_t earlier) {
  size_t level = 0;
  for (; earlier > 0; earlier /= 2) ++level;
  return std::min(level, kLevels - 1);
}

std::vector<View> first_views(const SocialLog& log,
                              const CurateOptions& options,
                              CuratedLog& result) {
  std::vector<View> views;
  std::map<std::pair<int64_t, int64_t>, size_t> rows;  // (user, image) -> view
  for (const SocialEvent& event : log.events) {
    ImageStatistics& image = result.images[static_cast<size_t>(event.image)];
    const auto [row, fresh] = rows.emplace(std::pair(event.user, event.image), views.size());
    if (fresh) {
      views.push_back({.user = event.user,
                       .image = event.image,
                       .position = std::min(static_cast<size_t>(event.position), kPositions - 1),
                       .level = level_of(image.popularity)});
    }
    if (event.action == SocialAction::kView) continue;
    View& view = views[row->second];
    result.repeats += view.action > 0;
    view.action =
        std::max(view.action, event.action == SocialAction::kReuse ? options.reuse_weight : 1.0);
    ++image.popularity;
  }
  return views;
}

// Removes the views of people who act on nearly everything.
void keep_choosers(const SocialLog& log,
                   const CurateOptions& options,
                   std::vector<View>& views,
                   CuratedLog& result) {
  std::vector<int64_t> seen(log.users.size()), acted(log.users.size());
  for (const View& view : views) {
    ++seen[static_cast<size_t>(view.user)];
    acted[static_cast<size_t>(view.user)] += view.action > 0;
  }
  const auto indiscriminate = [&](int64_t user) {
    const auto row = static_cast<size_t>(user);
    return seen[row] >= options.min_views_of_user &&
           static_cast<double>(acted[row]) >
               options.max_positive_share * static_cast<double>(seen[row]);
  };
  for (size_t user = 0; user < log.users.size(); ++user)
    result.users_left_out += indiscriminate(static_cast<int64_t>(user));
  std::erase_if(views, [&](const View& view) { return indiscriminate(view.user); });
}

double weight_of(const View& view, const CuratedLog& fit) {
  return fit.position_factor[view.position] * fit.popularity_factor[view.level];
}

void fit_rates(const std::vector<View>& views, CuratedLog& fit) {
  for (ImageStatistics& image : fit.images) image.exposure = 0;
  double actions = 0, exposure = 0;
  for (const View& view : views) {
    const double weight = weight_of(view, fit);
    fit.images[static_cast<size_t>(view.image)].exposure += weight;
    exposure += weight;
    actions += view.action;
  }
  const double mean = exposure > 0 ? actions / exposure : 0;
  for (ImageStatistics& image : fit.images)
    image.rate = (image.actions + kPriorExposure * mean) / (image.exposure + kPriorExposure);
}

// factor = observed actions / actions expected by the rest of the model, relative to the factor of
// `unit`, or of the next one that has actions. `index` returns the row of a view's factor.
template <class Index>
void fit_factor(const std::vector<View>& views,
                const CuratedLog& fit,
                Index index,
                size_t unit,
                std::vector<double>& factor) {
  std::vector<double> seen(factor.size()), expected(factor.size());
  for (const View& view : views) {
    const size_t row = index(view);
    seen[row] += view.action;
    expected[row] +=
        fit.images[static_cast<size_t>(view.image)].rate * weight_of(view, fit) / factor[row];
  }
  while (seen[unit] <= 0 && std::any_of(seen.begin(), seen.end(), [](double n) { return n > 0; }))
    unit = (unit + 1) % seen.size();
  for (size_t row = 0; row < factor.size(); ++row)
    factor[row] = seen[row] > 0 ? seen[row] / expected[row] : 0;
  const double scale = factor[unit] > 0 ? factor[unit] : 1;
  for (double& value : factor) value = value > 0 ? value / scale : 1;
}

void fit_model(const std::vector<View>& views, SocialCorrection correction, CuratedLog& result) {
  result.position_factor.assign(kPositions, 1);
  result.popularity_factor.assign(kLevels, 1);
  fit_rates(views, result);
  for (int round = 0; round < kRounds && correction >= SocialCorrection::kPosition; ++round) {
    fit_factor(
        views, result, [](const View& v) { return v.position; }, kFirstPosition,
        result.position_factor);
    fit_rates(views, result);
    if (correction != SocialCorrection::kAll) continue;
    fit_factor(
        views, result, [](const View& v) { return v.level; }, 0, result.popularity_factor);
    fit_rates(views, result);
  }
}

// Uses counts as rates, as if all exposures were equal.
void use_counts(CuratedLog& result) {
  for (ImageStatistics& image : result.images) {
    image.exposure = 1;
    image.rate = image.actions + 1;
  }
}

void add_pairs(const SocialLog& log, const CurateOptions& options, CuratedLog& result) {
  std::vector<std::vector<int64_t>> of_prompt(log.prompts.size());
  for (size_t i = 0; i < log.images.size(); ++i) {
    if (result.images[i].viewers >= options.min_users)
      of_prompt[static_cast<size_t>(log.images[i].prompt)].push_back(static_cast<int64_t>(i));
    else
      ++result.images_left_out;
  }
  for (size_t prompt = 0; prompt < of_prompt.size(); ++prompt) {
    std::vector<SocialPair> pairs;
    for (const int64_t a : of_prompt[prompt]) {
      for (const int64_t b : of_prompt[prompt]) {
        const ImageStatistics &high = result.images[static_cast<size_t>(a)],
                              &low = result.images[static_cast<size_t>(b)];
        const double deviations =
            std::log(high.rate / low.rate) / std::hypot(high.log_error, low.log_error);
        if (high.rate < options.min_ratio * low.rate || deviations < options.min_deviations)
          continue;
        pairs.push_back({static_cast<int64_t>(prompt), a, b, deviations});
      }
    }
    std::stable_sort(pairs.begin(), pairs.end(), [](const SocialPair& x, const SocialPair& y) {
      return x.deviations > y.deviations;
    });
    const auto kept = std::min(pairs.size(), static_cast<size_t>(options.pairs_a_prompt));
    result.pairs.insert(result.pairs.end(), pairs.begin(), pairs.begin() + static_cast<long>(kept));
  }
}

}  // namespace

CuratedLog curate(const SocialLog& original, const CurateOptions& options) {
  const SocialLog log = with_views(original);
  CuratedLog result;
  result.images.resize(log.images.size());
  std::vector<View> views = first_views(log, options, result);
  keep_choosers(log, options, views, result);
  std::vector<double> squares(log.images.size());
  for (const View& view : views) {
    ImageStatistics& image = result.images[static_cast<size_t>(view.image)];
    ++image.viewers;
    image.actors += view.action > 0;
    image.actions += view.action;
    squares[static_cast<size_t>(view.image)] += view.action * view.action;
  }
  fit_model(views, options.correction, result);
  if (options.correction == SocialCorrection::kCounts) use_counts(result);
  for (size_t i = 0; i < result.images.size(); ++i) {
    ImageStatistics& image = result.images[i];  // a sum of weighted Poisson counts
    image.log_error = std::sqrt(squares[i] + 1) / (image.actions + 1);
  }
  add_pairs(log, options, result);
  return result;
}

}  // namespace rewards
