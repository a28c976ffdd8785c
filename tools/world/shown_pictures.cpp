#include "tools/world/shown_pictures.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <map>

#include "data/base/error.hpp"
#include "data/images/image_files.hpp"
#include "data/images/image_io.hpp"
#include "tools/cli/console/progress.hpp"
#include "tools/score/image_prompts.hpp"

namespace fs = std::filesystem;
using data::BadInput;

namespace tools {
namespace {

constexpr size_t kMostShown = 4096;  // 8.4 million pairs
constexpr int64_t kGlance = 64;      // pixels
constexpr size_t kRepeatAfter = 8;   // questions

std::vector<fs::path> files_in_places(const std::vector<std::string>& places) {
  std::vector<fs::path> files;
  for (const auto& place : places) {
    const fs::path samples = fs::path(place) / "samples";
    const auto found = fs::is_directory(samples)
                           ? data::list_images(samples.string(), data::Folders::kRecursive)
                           : data::list_images(place);
    files.insert(files.end(), found.begin(), found.end());
  }
  if (files.size() > kMostShown)
    throw BadInput(places.front() + ": expected at most " + std::to_string(kMostShown) +
                   " pictures, found " + std::to_string(files.size()) + "; name fewer");
  return files;
}

void mix(std::vector<int32_t>& places, world::RandomStream& chance) {
  for (size_t i = places.size(); i > 1; --i)
    std::swap(places[i - 1], places[static_cast<size_t>(chance.below(static_cast<int64_t>(i)))]);
}

// Takes a share of the groups, or of the pictures of a single group, away from `groups`.
PictureGroups take_share(PictureGroups& groups, double share, world::RandomStream& chance) {
  const bool single = groups.size() == 1;
  std::vector<int32_t> order;
  for (size_t i = 0; i < (single ? groups[0].size() : groups.size()); ++i)
    order.push_back(single ? groups[0][i] : static_cast<int32_t>(i));
  mix(order, chance);
  const auto count = static_cast<size_t>(std::lround(share * static_cast<double>(order.size())));
  const std::vector<int32_t> taken(order.begin(), order.begin() + static_cast<int64_t>(count)),
      kept(order.begin() + static_cast<int64_t>(count), order.end());
  if (single) {
    groups = {kept};
    return {taken};
  }
  PictureGroups ours, theirs;
  for (const int32_t group : kept) ours.push_back(groups[static_cast<size_t>(group)]);
  for (const int32_t group : taken) theirs.push_back(groups[static_cast<size_t>(group)]);
  groups = ours;
  return theirs;
}

std::vector<PicturePair> pairs_drawn(const PictureGroups& groups,
                                     int64_t count,
                                     const char* option,
                                     world::RandomStream& chance) {
  std::vector<PicturePair> all = pairs_inside(groups);
  if (count > static_cast<int64_t>(all.size()))
    throw BadInput(std::string(option) + ": expected at most the " + std::to_string(all.size()) +
                   " pairs of these pictures, found " + std::to_string(count) +
                   "; name fewer, or more pictures");
  for (int64_t i = 0; i < count; ++i) {
    const int64_t other = i + chance.below(static_cast<int64_t>(all.size()) - i);
    std::swap(all[static_cast<size_t>(i)], all[static_cast<size_t>(other)]);
    if (chance.chance(0.5))
      std::swap(all[static_cast<size_t>(i)].first, all[static_cast<size_t>(i)].second);
  }
  all.resize(static_cast<size_t>(count));
  return all;
}

}  // namespace

at::Tensor facts_at_a_glance(const at::Tensor& image) {
  const int64_t height = image.size(1), width = image.size(2), longer = std::max(height, width);
  if (longer <= kGlance) return taste_facts(image.unsqueeze(0));
  const auto shrunk = [&](int64_t side) { return std::max<int64_t>(1, side * kGlance / longer); };
  return taste_facts(
      data::resize(image, shrunk(height), shrunk(width), data::ResizeKind::kArea).unsqueeze(0));
}

ShownPictures look_at_pictures(const std::vector<std::string>& places,
                               const SimulatedPerson& person) {
  const auto files = files_in_places(places);
  const auto prompts = prompts_of_images(files, {});
  ShownPictures shown;
  std::vector<at::Tensor> facts;
  Progress progress("Looking", static_cast<int64_t>(files.size()), "img");
  for (size_t i = 0; i < files.size(); ++i, progress.advance()) {
    try {
      if (!prompts[i].fault.empty()) throw BadInput(prompts[i].fault);
      facts.push_back(facts_at_a_glance(data::read_image(files[i])));
    } catch (const BadInput& fault) {
      shown.faults.push_back(fault.what());
      progress.print_fault(fault.what());
      continue;
    }
    shown.pictures.push_back({.file = files[i],
                              .prompt = prompts[i].text,
                              .taste = person_taste(person, facts.back()).item<double>(),
                              .facts = static_cast<int64_t>(facts.size()) - 1});
  }
  if (facts.empty()) throw BadInput(places.front() + ": no picture can be read");
  shown.facts = at::cat(facts);
  return shown;
}

PictureGroups comparable(const std::vector<ShownPicture>& pictures) {
  std::map<std::string, std::vector<int32_t>> by_prompt;
  for (size_t i = 0; i < pictures.size(); ++i)
    by_prompt[pictures[i].prompt].push_back(static_cast<int32_t>(i));
  PictureGroups groups;
  size_t sharing = 0;
  for (const auto& [prompt, places] : by_prompt) {
    if (places.size() < 2) continue;
    groups.push_back(places);
    sharing += places.size();
  }
  if (2 * sharing >= pictures.size()) return groups;
  std::vector<int32_t> all;
  for (size_t i = 0; i < pictures.size(); ++i) all.push_back(static_cast<int32_t>(i));
  return {all};
}

std::vector<PicturePair> pairs_inside(const PictureGroups& groups) {
  std::vector<PicturePair> pairs;
  for (const auto& group : groups) {
    for (size_t i = 0; i < group.size(); ++i) {
      for (size_t j = i + 1; j < group.size(); ++j) pairs.emplace_back(group[i], group[j]);
    }
  }
  return pairs;
}

DrawnPairs draw_pairs(PictureGroups groups, const PairCounts& counts, world::RandomStream& chance) {
  const PictureGroups apart =
      counts.held_out > 0 ? take_share(groups, counts.held_out_share, chance) : PictureGroups{};
  DrawnPairs drawn{.asked = pairs_drawn(groups, counts.asked, "--pairs", chance), .held_out = {}};
  drawn.held_out = pairs_drawn(apart, counts.held_out, "--held_out_pairs", chance);
  return drawn;
}

std::vector<PicturePair> with_repeats(const std::vector<PicturePair>& pairs,
                                      double asked_twice,
                                      world::RandomStream& chance) {
  std::vector<PicturePair> questions;
  std::deque<std::pair<size_t, PicturePair>> due;
  for (const auto& pair : pairs) {
    if (chance.chance(asked_twice))
      due.emplace_back(questions.size() + 1 + kRepeatAfter, PicturePair(pair.second, pair.first));
    questions.push_back(pair);
    while (!due.empty() && due.front().first <= questions.size()) {
      questions.push_back(due.front().second);
      due.pop_front();
    }
  }
  for (const auto& [when, pair] : due) questions.push_back(pair);
  return questions;
}

}  // namespace tools
