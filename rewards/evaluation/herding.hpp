#pragma once

// Whether the members of an ensemble err together: an ensemble helps where they part (Eisenstein et
// al., "Helping or herding?", 2023).

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace rewards {

// What happens on the images that one member rates highest.
struct TopImages {
  double correlation = 0;  // mean Spearman of this member with each other one, on those images
  double own = 0;          // its mean z there
  double others = 0;       // the other members' mean z there; as high as `own`: they err together
};
struct Herding {
  double correlation = 0;       // mean Spearman of all pairs of members, on all images
  int64_t top = 0;              // images of a member's highest share
  std::vector<TopImages> of{};  // one a member
};
// z: [P, M] scores in a unit that the members share, M >= 2, P >= 20, finite. top_share: in (0, 1];
// at least 10 images count.
Herding herding(const at::Tensor& z, double top_share);

}  // namespace rewards
