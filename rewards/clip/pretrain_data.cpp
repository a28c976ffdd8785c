#include "rewards/clip/pretrain_data.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <set>
#include <utility>

#include "data/world/caption.hpp"
#include "data/world/match.hpp"
#include "data/world/random_stream.hpp"

namespace rewards {
namespace {

using world::Scene;

struct Told {
  Scene scene;
  std::string caption;
  std::vector<world::Claim> claims;
  world::SceneReading truth;
};

Told tell(const Scene& scene, at::Generator& generator) {
  Told told{.scene = scene,
            .caption = world::caption(scene, generator),
            .claims = {},
            .truth = world::truth(scene)};
  told.claims = world::parse_caption(told.caption);
  return told;
}

bool holds(const Told& caption, const Told& picture) {
  return world::match(caption.claims, picture.truth).exact;
}

void recolour(world::Object& object, world::RandomStream& random) {
  object.colour = static_cast<world::Colour>(random.below(world::kColours));
  const world::HsvRange& range = world::kColourRanges[static_cast<size_t>(object.colour)];
  object.rgb =
      world::to_rgb({random.uniform(range.hue - range.hue_half, range.hue + range.hue_half) + 360,
                     random.uniform(range.saturation_min, range.saturation_max),
                     random.uniform(range.value_min, range.value_max)});
}

void swap_looks(world::Object& a, world::Object& b) {
  std::swap(a.colour, b.colour);
  std::swap(a.rgb, b.rgb);
}

// A scene of the same split that differs in one respect.
Scene variant_of(const Scene& original, world::Split split, world::RandomStream& random) {
  for (int attempt = 0; attempt < 20; ++attempt) {
    Scene scene = original;
    const auto pick = static_cast<size_t>(random.below(static_cast<int64_t>(scene.objects.size())));
    const auto other = (pick + 1) % scene.objects.size();
    const int64_t change = random.below(4);
    if (change == 0) {
      for (auto& object : scene.objects) object.x = world::kCanvas - object.x;
    } else if (change == 1) {
      recolour(scene.objects[pick], random);
    } else if (change == 2) {
      scene.objects[pick].kind = static_cast<world::Kind>(random.below(world::kKinds));
    } else {
      swap_looks(scene.objects[pick], scene.objects[other]);
    }
    const bool unseen = std::any_of(scene.objects.begin(), scene.objects.end(), [](auto& object) {
      return world::held_out(object.colour, object.kind);
    });
    if (unseen == (split == world::Split::kUnseen)) return scene;
  }
  return original;
}

ContrastiveBatch collect(const std::vector<Told>& all) {
  const auto count = static_cast<int64_t>(all.size());
  ContrastiveBatch batch{
      .images = {}, .captions = {}, .also_true = at::zeros({count, count}, at::kBool)};
  std::vector<at::Tensor> images;
  bool* also_true = batch.also_true.mutable_data_ptr<bool>();
  for (size_t i = 0; i < all.size(); ++i) {
    images.push_back(world::render(all[i].scene));
    batch.captions.push_back(all[i].caption);
    for (size_t j = 0; j < all.size(); ++j)
      also_true[i * all.size() + j] = i != j && holds(all[j], all[i]);
  }
  batch.images = at::stack(images);
  return batch;
}

const std::string& caption_of(const CaptionedSet& set, const at::Tensor& rows, int64_t i) {
  return set.captions.at(static_cast<size_t>(rows[i].item<int64_t>()));
}

ContrastiveBatch picked(const CaptionedSet& set, const at::Tensor& rows) {
  const int64_t count = rows.size(0);
  ContrastiveBatch batch{.images = set.images(rows),
                         .captions = {},
                         .also_true = at::zeros({count, count}, at::kBool)};
  for (int64_t i = 0; i < count; ++i) batch.captions.push_back(caption_of(set, rows, i));
  bool* also_true = batch.also_true.mutable_data_ptr<bool>();
  for (size_t i = 0; i < batch.captions.size(); ++i) {
    for (size_t j = 0; j < batch.captions.size(); ++j)
      *also_true++ = i != j && batch.captions[i] == batch.captions[j];
  }
  return batch;
}

}  // namespace

ContrastiveBatch draw_scenes(int64_t count,
                             double variants,
                             world::Split split,
                             at::Generator& generator) {
  TORCH_CHECK(count > 0 && variants >= 0 && variants <= 0.75,
              "draw_scenes: expected count > 0 and variants in [0, 0.75]");
  const int64_t originals =
      std::max<int64_t>(1, count - static_cast<int64_t>(variants * static_cast<double>(count)));
  std::vector<Told> all;
  world::RandomStream random(generator);
  for (int64_t i = 0; i < count; ++i) {
    const Scene scene =
        i < originals ? world::random_scene(generator, split)
                      : variant_of(all[static_cast<size_t>(i - originals)].scene, split, random);
    all.push_back(tell(scene, generator));
  }
  return collect(all);
}

ClipSource scene_source(double variants) {
  ClipSource source;
  source.name = "the built-in world of scenes (synthetic)";
  source.draw = [variants](int64_t count, at::Generator& generator) {
    return draw_scenes(count, variants, world::Split::kSeen, generator);
  };
  source.texts = world::all_captions(world::Split::kSeen);
  for (const auto& word : world::all_words()) source.texts.insert(source.texts.end(), 3, word);
  return source;
}

ClipSource captioned_source(const std::string& name,
                            const CaptionedSet& set,
                            const at::Tensor& rows) {
  ClipSource source{.name = name, .texts = {}, .draw = {}};
  for (int64_t i = 0; i < rows.size(0); ++i) source.texts.push_back(caption_of(set, rows, i));
  source.draw = [set, rows](int64_t count, at::Generator& generator) {
    const at::Tensor order = at::randperm(rows.size(0), generator).slice(0, 0, count);
    return picked(set, rows.index_select(0, order));
  };
  return source;
}

std::vector<ContrastiveBatch> groups_of(const CaptionedSet& set,
                                        const at::Tensor& rows,
                                        int64_t size) {
  std::vector<ContrastiveBatch> groups;
  std::vector<int64_t> group;
  std::set<std::string> known;
  for (int64_t i = 0; i < rows.size(0); ++i) {
    if (known.insert(caption_of(set, rows, i)).second) group.push_back(rows[i].item<int64_t>());
    const bool last = i + 1 == rows.size(0);
    if (group.empty() || (static_cast<int64_t>(group.size()) < size && !last)) continue;
    groups.push_back(picked(set, at::tensor(group, at::kLong)));
    group.clear();
    known.clear();
  }
  return groups;
}

std::vector<ContrastiveBatch> retrieval_groups(int64_t groups,
                                               int64_t size,
                                               world::Split split,
                                               at::Generator& generator) {
  std::vector<ContrastiveBatch> result;
  while (static_cast<int64_t>(result.size()) < groups) {
    std::vector<Told> all;
    while (static_cast<int64_t>(all.size()) < size) {
      const Told told = tell(world::random_scene(generator, split), generator);
      const bool clashes = std::any_of(all.begin(), all.end(), [&](const Told& other) {
        return holds(other, told) || holds(told, other) || other.caption == told.caption;
      });
      if (!clashes) all.push_back(told);
    }
    result.push_back(collect(all));
  }
  return result;
}

}  // namespace rewards
