#pragma once

// What a simulated person says about pairs of pictures.

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "rewards/evaluation/agreement.hpp"
#include "tools/world/shown_pictures.hpp"

namespace tools {

struct AnswerOptions {
  AnswerNoise noise;
  double skip = 0;       // probability that a pair is not answered
  double bad_below = 0;  // both below this taste, and equal: "both bad"
};

// "a", "b", "tie" or "both_bad", as laurel's form of choices has them; nullopt: skipped.
// taste_a, taste_b: without noise
std::optional<std::string> answer_about(double taste_a,
                                        double taste_b,
                                        const AnswerOptions& options,
                                        world::RandomStream& chance);

// Differences in taste of pairs inside the groups; of more than 20,000 pairs every n-th.
std::vector<double> taste_differences(const std::vector<ShownPicture>& pictures,
                                      const PictureGroups& groups);
// The taste that a quarter of the pictures do not reach.
double lower_quartile(const std::vector<ShownPicture>& pictures);

// A blind comparison. Equal answers count half to each side; intervals are Wilson's.
struct BlindProof {
  int64_t tuned = 0, base = 0, even = 0;      // the person's answers
  rewards::Interval share;                    // of the tuned one, by these answers
  rewards::Interval without_noise;            // by the taste itself
  double base_taste = 0, tuned_taste = 0;     // means
  std::vector<nlohmann::ordered_json> lines;  // {"prompt", "a", "b", "winner", "tuned"}
};
// base, tuned: pictures of one prompt and one seed have one file name; others are passed over.
// Sides are drawn. Throws BadInput when no name is in both, and where the prompts of two differ.
BlindProof prove_blind(const std::vector<ShownPicture>& base,
                       const std::vector<ShownPicture>& tuned,
                       const AnswerOptions& options,
                       world::RandomStream& chance);

}  // namespace tools
