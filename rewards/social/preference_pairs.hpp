#pragma once

// Preference pairs from a community's log, as for Social Reward: which of two images of a prompt
// people preferred. Plain counts would reward an image's position in the list, its time online and
// the popularity that was displayed.

#include <string>
#include <vector>

#include "rewards/social/log.hpp"

namespace rewards {

// The biases that are corrected.
//   kCounts      none: the number of people who acted
//   kViews       the number of views: people who acted over people who saw the image
//   kPosition    each view is also weighted by its position in the list
//   kAll         and by the image's displayed popularity at that moment
enum class SocialCorrection { kCounts, kViews, kPosition, kAll };

struct CurateOptions {
  SocialCorrection correction = SocialCorrection::kAll;
  int64_t min_users = 12;           // an image counts when at least so many people saw it
  double max_positive_share = 0.6;  // users who act on more of what they see are left out
  int64_t min_views_of_user = 10;   // from which max_positive_share applies
  double reuse_weight = 2;          // of a reuse; a like counts 1
  double min_ratio = 1.25;          // of the two images' rates
  double min_deviations = 1.5;      // of the logarithm of that ratio
  int64_t pairs_a_prompt = 24;      // at most, with the largest deviations
};

struct ImageStatistics {
  int64_t viewers = 0, actors = 0;  // distinct people
  double actions = 0;               // weighted
  double exposure = 0;              // views, in units of a view of a new image at the first
                                    // position
  double rate = 0;                  // actions per exposure, shrunk towards the mean
  double log_error = 0;             // standard error of the rate's logarithm
  int64_t popularity = 0;           // likes and reuses in the log, uncorrected
};

struct SocialPair {
  int64_t prompt = 0, preferred = 0, other = 0;  // rows of the log's prompts and images
  double deviations = 0;                         // of the logarithm of the ratio of rates
};

struct CuratedLog {
  std::vector<ImageStatistics> images;    // of each row of the log's images
  std::vector<double> position_factor;    // of position 1, 2, ..; [0]: unknown position
  std::vector<double> popularity_factor;  // of 0, 1, 2-3, 4-7, .. earlier actions
  std::vector<SocialPair> pairs;
  int64_t users_left_out = 0, images_left_out = 0, repeats = 0;
};

// Each person counts once for an image. Maximum likelihood, by alternating updates, of a model in
// which a view leads to an action at the rate r a g: r of the image, a of the position, g of the
// level of popularity (the position-based model of click logs, Craswell et al. 2008, with a second
// factor).
CuratedLog curate(const SocialLog& log, const CurateOptions& options);

}  // namespace rewards
