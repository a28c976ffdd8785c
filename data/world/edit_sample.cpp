#include "data/world/edit_sample.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <numbers>

#include "data/base/error.hpp"
#include "data/base/json.hpp"
#include "data/base/splitmix.hpp"
#include "data/images/image_io.hpp"
#include "data/world/edit_text.hpp"
#include "data/world/flat_world.hpp"

namespace world {
namespace {

constexpr double kTurn = 2 * std::numbers::pi;
constexpr double kWrongSubject = 0.05;  // probability that another edit is applied
constexpr double kMostFade = 0.17, kMostStain = 0.09;
constexpr int64_t kStainCell = 16;  // pixels; large enough to survive the autoencoder

// The first `share` of `pixels` (booleans, [N, N]) in the direction of the angle.
at::Tensor first_share(const at::Tensor& pixels, double share, double angle) {
  const int64_t count = pixels.sum().item<int64_t>();
  const auto wanted = static_cast<int64_t>(std::llround(share * static_cast<double>(count)));
  if (wanted == 0) return at::zeros_like(pixels);
  if (wanted == count) return pixels;
  const at::Tensor along = at::arange(pixels.size(0), at::kDouble);
  const at::Tensor order = std::cos(angle) * along.unsqueeze(0) +
                           std::sin(angle) * along.unsqueeze(1) + 1e-9 * along.unsqueeze(1);
  const at::Tensor sorted = std::get<0>(order.masked_select(pixels).sort());
  return pixels.logical_and(order <= sorted[wanted - 1]);
}

at::Tensor differ(const at::Tensor& one, const at::Tensor& other) { return (one != other).any(0); }

// Changes one of the things that the edit should keep to another plain colour, or adds a shape.
std::optional<Scene> disturb_scene(const SceneEdit& edit, RandomStream& random) {
  const auto other = other_edit(edit, random);
  if (!other) return std::nullopt;
  Scene scene = apply(edit.source, *other);
  if (other->operation == EditOperation::kBackground) {
    scene.background.slope_x = scene.background.slope_y = 0;
    scene.background.texture = 0;
  }
  return scene;
}

at::Tensor normal_noise(at::IntArrayRef sizes, RandomStream& random) {
  at::Tensor noise = at::empty(sizes, at::kFloat);
  float* values = noise.mutable_data_ptr<float>();
  for (int64_t i = 0; i < noise.numel(); ++i) {  // Box and Muller
    const double radius = std::sqrt(-2 * std::log(1 - random.uniform(0, 1)));
    values[i] = static_cast<float>(radius * std::cos(kTurn * random.uniform(0, 1)));
  }
  return noise;
}

// The picture faded towards grey, or with stains.
at::Tensor uncleaned(const at::Tensor& image, double amount, RandomStream& random) {
  if (amount <= 0) return image;
  if (random.chance(0.5)) return image + kMostFade * amount * (0.5 - image);
  const int64_t cells = image.size(1) / kStainCell;
  const at::Tensor stains = at::upsample_bilinear2d(
      normal_noise({1, 3, cells, cells}, random), image.sizes().slice(1), /*align_corners=*/false);
  return image + kMostStain * amount * stains[0];
}

struct Drawn {
  EditView view;
  at::Tensor edited;  // [3, N, N]
  std::string instruction, operation;
};

Drawn draw_scene_edit(const EditSampleOptions& options, at::Generator& generator) {
  const SceneEdit edit = random_edit(generator, options.split);
  RandomStream random(generator);
  Drawn drawn{
      view_of(edit), {}, instruction(edit.source, edit.edit, random), name(edit.edit.operation)};
  const at::Tensor& source = drawn.view.source;
  drawn.edited = drawn.view.target;
  if (options.flawless) return drawn;
  const Flaws flaws = random_flaws(random);
  const bool wrong_subject = random.chance(kWrongSubject);
  const auto disturbed = disturb_scene(edit, random);
  const at::Tensor harmed = disturbed ? render(*disturbed) : source;
  drawn.edited =
      wrong_subject && disturbed ? harmed : compose(source, drawn.view.target, harmed, flaws);
  drawn.edited = uncleaned(drawn.edited, flaws.uncleanness, random);
  return drawn;
}

Drawn draw_flat(const EditSampleOptions& options, at::Generator& generator) {
  RandomStream random(generator);
  const FlatEdit edit = random_flat_edit(random, options.split);
  Drawn drawn{view_of(edit), {}, instruction(edit), name(edit.operation)};
  drawn.edited = drawn.view.target;
  if (options.flawless) return drawn;
  const Flaws flaws = random_flaws(random);
  const at::Tensor harmed = render_flat(disturb_flat(edit, random));
  drawn.edited = compose(drawn.view.source, drawn.view.target, harmed, flaws);
  drawn.edited =
      drawn.edited + kFlatNoise * flaws.uncleanness * normal_noise(drawn.edited.sizes(), random);
  return drawn;
}

std::string id_of(const EditSampleOptions& options, int64_t index) {
  char text[64];
  std::snprintf(text, sizeof text, "%s%s-%llu-%06lld", options.flat ? "flat-" : "",
                options.split == Split::kSeen ? "seen" : "unseen",
                static_cast<unsigned long long>(options.seed), static_cast<long long>(index));
  return text;
}

at::Tensor rounded(const at::Tensor& image) {
  return data::from_uint8(data::to_uint8(image.clamp(0, 1)));
}

}  // namespace

Flaws random_flaws(RandomStream& random) {
  Flaws flaws;
  const double follow = random.uniform(0, 1), disturb = random.uniform(0, 1);
  flaws.followed = follow < 0.4 ? 1 : follow < 0.6 ? 0 : random.uniform(0, 1);
  flaws.disturbed = disturb < 0.4 ? 0 : disturb < 0.6 ? 1 : random.uniform(0, 1);
  flaws.follow_angle = random.uniform(0, kTurn);
  flaws.disturb_angle = random.uniform(0, kTurn);
  flaws.uncleanness = random.chance(0.4) ? 0 : random.uniform(0, 1);
  return flaws;
}

at::Tensor compose(const at::Tensor& source,
                   const at::Tensor& target,
                   const at::Tensor& disturbed,
                   const Flaws& flaws) {
  const at::Tensor edited = differ(source, target);  // [N, N]
  const at::Tensor harmed = differ(source, disturbed).logical_and(edited.logical_not());
  const at::Tensor done = first_share(edited, flaws.followed, flaws.follow_angle);
  const at::Tensor harm = first_share(harmed, flaws.disturbed, flaws.disturb_angle);
  return at::where(done, target, at::where(harm, disturbed, source));
}

EditSample draw_edit_sample(const EditSampleOptions& options, int64_t index) {
  TORCH_CHECK(index >= 0, "draw_edit_sample: index must not be negative, got ", index);
  const uint64_t key = data::splitmix64(options.seed) ^ (options.flat ? 1 : 0) ^
                       (options.split == Split::kUnseen ? 2 : 0);
  auto generator = at::detail::createCPUGenerator(
      data::splitmix64(key + static_cast<uint64_t>(index) * data::kSplitmixStep));
  Drawn drawn = options.flat ? draw_flat(options, generator) : draw_scene_edit(options, generator);
  EditSample sample;
  sample.id = id_of(options, index);
  sample.instruction = drawn.instruction;
  sample.operation = drawn.operation;
  sample.source = rounded(drawn.view.source);
  sample.edited = rounded(drawn.edited);
  sample.scores = score_edit(drawn.view, sample.edited);
  sample.view = std::move(drawn.view);
  return sample;
}

std::optional<SampleOrigin> sample_origin(const std::string& line, const std::string& where) {
  const auto object = data::parse_json_object(line, where);
  const auto world = object.find("world");
  if (world == object.end()) return std::nullopt;
  try {
    if (!world->at("seed").is_number_unsigned() || !world->at("index").is_number_unsigned())
      return std::nullopt;
    return SampleOrigin{{.seed = world->at("seed"),
                         .split = world->at("split") == "seen" ? Split::kSeen : Split::kUnseen,
                         .flat = world->at("flat")},
                        world->at("index")};
  } catch (const nlohmann::json::exception&) {
    return std::nullopt;
  }
}

EditView view_of_line(const std::string& line, const std::string& where) {
  auto drawn = sample_origin(line, where);
  if (!drawn) {
    throw data::BadInput(where +
                         ": expected \"world\" with seed, index, split and flat, as `laurel world "
                         "edits` writes it; found none");
  }
  drawn->options.flawless = true;  // the view does not depend on the flaws
  return draw_edit_sample(drawn->options, drawn->index).view;
}

}  // namespace world
