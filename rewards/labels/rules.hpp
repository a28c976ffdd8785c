#pragma once

// What becomes of a label by the strength of its preference: Wang et al., "Secrets of RLHF in large
// language models, part II: reward modeling" (2024), section 2. There the weakest fifth of the
// labels harmed as they were and served when they were exchanged, the next fifth taught nothing,
// and the strongest tenth was learnt by heart unless its labels were softened.

#include <string>
#include <vector>

namespace rewards {

// Shares of the decided labels in order of their strength, weakest first.
struct LabelRules {
  double flip = 0;                    // the weakest: winner and loser are exchanged
  double drop_from = 0, drop_to = 0;  // between these two: left out; equal: none
  double soften = 0;                  // the strongest
  double soft_label = 0.9;            // their probability that the winner is preferred, (0.5, 1]
};

enum class Fate { kKept, kFlipped, kDropped, kSoftened };
std::string name_of(Fate fate);  // "kept", "flipped", "dropped", "softened"

// What is wrong with rules whose parts overlap or leave [0, 1]; "": nothing.
std::string fault_of(const LabelRules& rules);

// strengths: N, the mean vote for the label's own winner, finite. A share stands for the nearest
// whole number of labels; of equal strengths the earlier label counts as weaker. -> N
std::vector<Fate> fates_of(const std::vector<double>& strengths, const LabelRules& rules);

// The label after its fate. p: 1 or 0, that a is preferred. A flipped label is 1 - p, so that
// flipping twice is no change; a softened one is soft_label on its winner's side (label smoothing:
// the loss is -(1 - alpha) log q - alpha log(1 - q), alpha = 1 - soft_label).
double relabelled(double p, Fate fate, double soft_label);

// The margin of the loss -log sigmoid(r_winner - r_loser - margin), which the paper sets to the
// mean vote; 0 for a winner that the votes are against. The paper prints the margin outside of the
// sigmoid, where it would have no gradient; here it stands inside.
double adaptive_margin(double strength);

}  // namespace rewards
