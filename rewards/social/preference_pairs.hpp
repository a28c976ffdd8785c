#pragma once

// From a community's log to pairs that say which of two images of a prompt people preferred, as the
// log of a Social Reward is used: counts alone would teach where an image stood in the list, how
// long it was online, and how popular it already looked.

#include <string>
#include <vector>

#include "rewards/social/log.hpp"

namespace rewards {

// What a view is worth depends on where the image stood and on how popular it looked.
//   kCounts      nothing is corrected: the number of people who acted
//   kViews       people who acted, over people who saw it
//   kPosition    each view weighs what its position is worth
//   kAll         and what the image's popularity at that moment adds
enum class SocialCorrection { kCounts, kViews, kPosition, kAll };

struct CurateOptions {
  SocialCorrection correction = SocialCorrection::kAll;
  int64_t min_users = 12;           // who saw an image, for it to count
  double max_positive_share = 0.6;  // a user who acts on more of what they see does not choose
  int64_t min_views_of_user = 10;   // from which that is judged
  double reuse_weight = 2;          // of a reuse; a like counts 1
  double min_ratio = 1.25;          // of the two images' rates
  double min_deviations = 1.5;      // of the logarithm of that ratio
  int64_t pairs_a_prompt = 24;      // the surest ones
};

struct ImageStatistics {
  int64_t viewers = 0, actors = 0;  // distinct people
  double actions = 0;               // weighted
  double exposure = 0;              // views in units of a view at the first position of an image
                                    // that nobody has acted on yet
  double rate = 0;                  // actions per exposure, drawn a little to the mean
  double log_error = 0;             // standard error of the rate's logarithm
  int64_t popularity = 0;           // likes and reuses, as they stand in the log
};

struct SocialPair {
  int64_t prompt = 0, preferred = 0, other = 0;  // rows of the log's prompts and images
  double deviations = 0;                         // how sure
};

struct CuratedLog {
  std::vector<ImageStatistics> images;    // of each row of the log's images
  std::vector<double> position_factor;    // of position 1, 2, ..; [0] is "not said"
  std::vector<double> popularity_factor;  // of 0, 1, 2-3, 4-7, .. earlier actions
  std::vector<SocialPair> pairs;
  int64_t users_left_out = 0, images_left_out = 0, repeats = 0;
};

// Each person counts once for an image. The rate r of an image, the factor a of each position and g
// of each level of popularity are those of largest likelihood where a view ends in an action at the
// rate r a g (the position-based model of click logs, Craswell et al. 2008, with a second factor),
// found by alternation.
CuratedLog curate(const SocialLog& log, const CurateOptions& options);

}  // namespace rewards
