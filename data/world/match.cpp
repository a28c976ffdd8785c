#include "data/world/match.hpp"

#include <algorithm>

namespace world {
namespace {

// For each object of the caption, the index of the picture's object assigned to it; -1: none.
using Pairing = std::vector<int64_t>;

const DetectedObject* paired(const SceneReading& reading, const Pairing& pairing, int64_t object) {
  const int64_t index = pairing[static_cast<size_t>(object)];
  return index < 0 ? nullptr : &reading.objects[static_cast<size_t>(index)];
}

bool holds(const Claim& claim, const SceneReading& reading, const Pairing& pairing) {
  if (claim.kind == ClaimKind::kCount)
    return static_cast<int64_t>(reading.objects.size()) == claim.value;
  if (claim.kind == ClaimKind::kBackground)
    return reading.background == static_cast<Tone>(claim.value);
  if (claim.kind == ClaimKind::kAbsent)
    return std::none_of(reading.objects.begin(), reading.objects.end(), [&](const auto& object) {
      return !object.kind || *object.kind == static_cast<Kind>(claim.value);
    });
  const DetectedObject* sight = paired(reading, pairing, claim.object);
  if (!sight) return false;
  switch (claim.kind) {
    case ClaimKind::kKind:
      return sight->kind == static_cast<Kind>(claim.value);
    case ClaimKind::kColour:
      return sight->colour == static_cast<Colour>(claim.value);
    case ClaimKind::kSize:
      return sight->size == static_cast<Size>(claim.value);
    case ClaimKind::kPlace:
      return place_holds(static_cast<Place>(claim.value), sight->x, sight->y);
    default:
      break;
  }
  const DetectedObject* other = paired(reading, pairing, claim.other);
  return other &&
         relation_holds(static_cast<Relation>(claim.value), sight->x, sight->y, other->x, other->y);
}

int64_t count_holding(const std::vector<Claim>& claims,
                      const SceneReading& reading,
                      const Pairing& pairing) {
  return std::count_if(claims.begin(), claims.end(),
                       [&](const Claim& claim) { return holds(claim, reading, pairing); });
}

// The largest number of true claims over all assignments of the caption's objects from `object` on.
int64_t best_count(const std::vector<Claim>& claims,
                   const SceneReading& reading,
                   Pairing& pairing,
                   size_t object) {
  if (object == pairing.size()) return count_holding(claims, reading, pairing);
  int64_t best = 0;
  for (int64_t index = -1; index < static_cast<int64_t>(reading.objects.size()); ++index) {
    const auto used = pairing.begin() + static_cast<int64_t>(object);
    if (index >= 0 && std::find(pairing.begin(), used, index) != used) continue;
    pairing[object] = index;
    best = std::max(best, best_count(claims, reading, pairing, object + 1));
  }
  pairing[object] = -1;
  return best;
}

}  // namespace

Match match(const std::vector<Claim>& claims, const SceneReading& reading) {
  int64_t objects = 0;
  for (const Claim& claim : claims)
    objects = std::max({objects, claim.object + 1, claim.other + 1});
  Pairing pairing(static_cast<size_t>(objects), -1);
  const int64_t best = best_count(claims, reading, pairing, 0);
  const auto all = static_cast<int64_t>(claims.size());
  return {all == 0 ? 0.0 : static_cast<double>(best) / static_cast<double>(all),
          best == all && all > 0};
}

}  // namespace world
