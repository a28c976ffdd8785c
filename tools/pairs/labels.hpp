#pragma once

// Where labels come from: people's choices, a judge's pairs, or a reward.

#include <cstdint>
#include <string>
#include <vector>

#include "rewards/judge/judgements.hpp"
#include "rewards/labels/selection.hpp"
#include "tools/pairs/pictures.hpp"

namespace tools {

struct Labels {
  std::vector<rewards::LabelledPair> pairs;  // one of each two pictures, numbers of the table
  std::vector<std::string> people{};         // that pairs[i].person numbers
  std::string source;                        // "choices", "judgements", "scores"
  int64_t answers = 0;                       // read
  int64_t contradictory = 0;  // pairs left out: answers without a majority, or a judge that prefers
                              // the picture that stands first
  int64_t passed_over = 0;    // likes of one picture and answers "both bad"
  std::vector<std::string> left_out{};  // a line each
};

// Files or folders of any form that rewards::read_choices reads; their pictures join the table.
// Throws as it does, and when none is a choice between two pictures.
Labels labels_of_choices(const std::vector<std::string>& paths, PictureTable& table);

// A judge's pairs, both orders as one, over the mean of the axes. source: for messages
Labels labels_of_judgements(const rewards::Judgements& judgements,
                            const std::string& source,
                            PictureTable& table);
// A judge's points as scores: a column judge.AXIS each and their mean, judge, in [0, 1]; several
// judgements of a picture are averaged. Pictures that the table lacks are added where `add_new`.
void add_points(const rewards::Judgements& judgements,
                const std::string& source,
                bool add_new,
                PictureTable& table);

// The order of one score within each prompt. At most `most` pairs of a prompt, drawn at random from
// `seed` where there are more. Throws BadInput when no prompt has two pictures with a score.
Labels labels_of_scores(const std::vector<double>& scores,
                        const std::vector<int64_t>& prompts,
                        int64_t most,
                        uint64_t seed);

}  // namespace tools
