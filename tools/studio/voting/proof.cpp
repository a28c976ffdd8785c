#include "tools/studio/voting/proof.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "data/base/error.hpp"
#include "data/base/format.hpp"
#include "rewards/evaluation/wilson.hpp"
#include "tools/gallery/collection.hpp"

namespace studio {

// The pictures to compare, recorded in the store: ids of the base and the tuned one.
struct Proof::Compared {
  std::vector<std::pair<int64_t, int64_t>> pairs;
  std::string step;
};

namespace {

constexpr double kQuantileOfProof = 1.96;  // of Wilson's 95 %
constexpr int64_t kMostMoreVotes = 400;    // answers; beyond that no number is given

// Places of the base's and of an evaluation's set: of this step, else of the last.
std::pair<size_t, size_t> compared_sets(const gallery::Collection& all,
                                        const std::filesystem::path& run,
                                        const std::optional<int64_t>& wanted) {
  std::optional<size_t> base, last;
  for (size_t i = 0; i < all.sets.size(); ++i) {
    const auto& step = all.sets[i].step;
    if (!step) continue;
    if (*step == 0) base = i;
    if (wanted && *step != *wanted) continue;
    if (*step > 0 && (!last || *step > *all.sets[*last].step)) last = i;
  }
  if (wanted && !last)
    throw data::BadInput("step " + std::to_string(*wanted) +
                         ": has no pictures to compare; choose another of the training's models");
  if (!base || !last)
    throw data::BadInput(run.string() +
                         ": expected pictures of the base and of a later step, found none; the run "
                         "has not been evaluated");
  return {*base, *last};
}

Proof::Compared compared_in(Store& store,
                            const std::filesystem::path& run,
                            const std::optional<int64_t>& step) {
  auto all = gallery::collect({run.string()});
  const auto [base, last] = compared_sets(all, run, step);
  std::map<size_t, std::map<size_t, const gallery::Image*>> found;  // by item, by set
  bool unseen = false;
  for (const auto& image : all.images) {
    if (image.set != base && image.set != last) continue;
    found[image.item][image.set] = &image;
    unseen = unseen || all.items[image.item].split == "unseen";
  }
  gallery::Collection kept{.runs = all.runs, .sets = all.sets, .images = {}, .items = all.items};
  for (const auto& [item, images] : found) {
    if (images.size() < 2 || (unseen && all.items[item].split != "unseen")) continue;
    kept.images.push_back(*images.at(base));
    kept.images.push_back(*images.at(last));
  }
  std::vector<std::string> faults;
  const auto ids = record_images(store.database, kept, faults);
  Proof::Compared compared{.pairs = {}, .step = all.sets[last].name};
  for (size_t i = 0; i + 1 < ids.size(); i += 2) {
    if (ids[i] && ids[i + 1] && ids[i] != ids[i + 1])
      compared.pairs.emplace_back(ids[i], ids[i + 1]);
  }
  if (compared.pairs.empty())
    throw data::BadInput(run.string() + ": the base and " + compared.step +
                         " have no two pictures of one prompt and seed that differ");
  return compared;
}

std::vector<int64_t> ids_in(const Proof::Compared& compared) {
  std::vector<int64_t> ids;
  for (const auto& [base, tuned] : compared.pairs) {
    ids.push_back(base);
    ids.push_back(tuned);
  }
  return ids;
}

std::optional<ShownPair> draw_proof(const Pool& pool,
                                    const std::vector<Pair>& pairs,
                                    int64_t person,
                                    const Asked& asked,
                                    std::mt19937_64& chance) {
  std::vector<Pair> left;
  for (const auto& pair : pairs) {
    if (!asked.pairs.contains(pair_key(pair.first, pair.second))) left.push_back(pair);
  }
  if (left.empty()) return std::nullopt;
  Pair pair = left[std::uniform_int_distribution<size_t>(0, left.size() - 1)(chance)];
  if (chance() & 1) std::swap(pair.first, pair.second);
  return ShownPair{.person = person,
                   .left = pool.images[pair.first].id,
                   .right = pool.images[pair.second].id,
                   .purpose = kProof};
}

}  // namespace

Proof::Proof(Store& store,
             const std::filesystem::path& run,
             uint64_t seed,
             const std::optional<int64_t>& wanted)
    : Proof(store, compared_in(store, run, wanted), seed) {}

Proof::Proof(Store& store, const Compared& compared, uint64_t seed)
    : pool(make_pool(stored_images(store.database), ids_in(compared))),
      step(compared.step),
      ballot(
          store.database,
          pool,
          [this](int64_t person, Asked& asked, std::mt19937_64& chance) {
            return draw_proof(pool, pairs, person, asked, chance);
          },
          /*proof=*/true,
          seed) {
  for (const auto& [base, tuned] : compared.pairs)
    pairs.emplace_back(pool.number_of.at(base), pool.number_of.at(tuned));
}

ProofResult result_of(const Proof& proof, data::Database& store, int64_t person) {
  std::set<std::pair<int64_t, int64_t>> base_first;  // ids
  for (const auto& [base, tuned] : proof.pairs)
    base_first.emplace(proof.pool.images[base].id, proof.pool.images[tuned].id);
  ProofResult result;
  for (const auto& vote : standing_votes(store, person)) {
    if (vote.pair.purpose != kProof || vote.answer == "skip") continue;
    const bool base_left = base_first.contains({vote.pair.left, vote.pair.right});
    if (!base_left && !base_first.contains({vote.pair.right, vote.pair.left})) continue;
    const bool decided = vote.answer == "left" || vote.answer == "right";
    const bool for_base = (vote.answer == "left") == base_left;
    result.even += !decided;
    result.base += decided && for_base;
    result.tuned += decided && !for_base;
  }
  const auto all = static_cast<double>(result.tuned + result.base + result.even);
  result.share = rewards::wilson(static_cast<double>(result.tuned) + result.even / 2.0, all);
  result.verdict = proof_verdict(result.tuned, result.base, result.even);
  return result;
}

std::string proof_verdict(int64_t tuned, int64_t base, int64_t even) {
  const auto all = static_cast<double>(tuned + base + even);
  if (all == 0) return "No answer yet.";
  const auto share = rewards::wilson(static_cast<double>(tuned) + even / 2.0, all);
  const std::string figures =
      data::formatted("%.0f %% of %.0f answers, 95 %% interval %.0f to %.0f %%", 100 * share.value,
                      all, 100 * share.low, 100 * share.high);
  if (share.low > 0.5) return "The trained model is preferred: " + figures + ".";
  if (share.high < 0.5) return "The base is preferred: the trained model has " + figures + ".";
  const double edge = std::abs(share.value - 0.5);
  const double needed =
      kQuantileOfProof * kQuantileOfProof / 4 / (edge * edge);  // then Wilson's excludes a half
  const std::string undecided = "Not yet decided: the trained model has " + figures + ".";
  if (edge == 0 || needed - all > kMostMoreVotes) return undecided;
  return undecided + data::formatted(" If it stays so, about %.0f answers more decide.",
                                     std::max(1.0, std::ceil(needed - all)));
}

}  // namespace studio
