#include "tools/bench_rewards/world_items.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/format.hpp"
#include "data/base/json.hpp"
#include "data/images/image_io.hpp"
#include "data/world/caption.hpp"
#include "data/world/grammar.hpp"
#include "data/world/match.hpp"
#include "data/world/oracle.hpp"
#include "rewards/world/rater_preference.hpp"
#include "tools/bench_rewards/items.hpp"
#include "tools/bench_rewards/scene_changes.hpp"

namespace fs = std::filesystem;

namespace tools {
namespace {

constexpr size_t kFewestWrong = 2, kMostWordings = 16;
constexpr int64_t kShareOfOthers = 4;     // a quarter as many negations, and as many tastes
constexpr int64_t kEveryParaphrase = 5;   // of the scenes
constexpr int64_t kTriesOfAnItem = 40;    // on average
constexpr double kClearPreference = 0.5;  // of the raters' scale of 1 to 10
constexpr int kJpegOfDegradation = 60;

using world::RandomStream;
using world::Scene;

// What is done to every picture of an item.
struct Degradation {
  const char* name;
  at::Tensor (*apply)(const at::Tensor& image);  // [3, H, W] in [0, 1] -> the same
};
const std::vector<Degradation>& degradations() {
  static const std::vector<Degradation> rows{
      {"clean", [](const at::Tensor& image) { return image; }},
      {"blurred",
       [](const at::Tensor& image) {  // binomial, 3 x 3
         const at::Tensor line = at::tensor({0.25f, 0.5f, 0.25f});
         const at::Tensor kernel = at::outer(line, line).expand({3, 1, 3, 3});
         const at::Tensor padded = at::replication_pad2d(image.unsqueeze(0), {1, 1, 1, 1});
         return at::conv2d(padded, kernel, {}, 1, at::IntArrayRef{0}, 1, 3).squeeze(0);
       }},
      {"JPEG", [](const at::Tensor& image) {
         return data::decode_image(data::encode_jpeg(image, kJpegOfDegradation), "JPEG");
       }}};
  return rows;
}

struct MadeItem {
  std::string prompt;
  std::vector<std::string> slices;
  bool apart = false;
  std::vector<at::Tensor> pictures;    // the right one first; [3, 64, 64]
  std::vector<std::string> changes{};  // of the wrong ones, or empty
  std::vector<std::string> wordings{};
};

// [3, 64, 64] each, after the autoencoder and the degradation, rounded to 8 bits.
std::vector<at::Tensor> pictures_of(const std::vector<Scene>& scenes,
                                    const diffusion::Vae& vae,
                                    const Degradation& degradation) {
  std::vector<at::Tensor> images;
  for (const auto& scene : scenes) images.push_back(world::render(scene));
  const at::NoGradGuard no_grad;
  const at::Tensor decoded =
      diffusion::latents_to_images(vae, diffusion::images_to_latents(vae, at::stack(images)));
  for (size_t i = 0; i < images.size(); ++i)
    images[i] = data::from_uint8(
        data::to_uint8(degradation.apply(decoded[static_cast<int64_t>(i)].contiguous())));
  return images;
}

bool shows(const at::Tensor& picture, const std::string& caption) {
  return world::caption_match(picture, caption).exact;
}

// Without the wrong pictures that show what the prompt says; false where the right one does not
// show it or too few wrong ones remain.
bool keeps_what_is_wrong(MadeItem& item) {
  if (!shows(item.pictures[0], item.prompt)) return false;
  size_t kept = 1;
  for (size_t i = 1; i < item.pictures.size(); ++i) {
    if (shows(item.pictures[i], item.prompt)) continue;
    item.pictures[kept] = item.pictures[i];
    if (!item.changes.empty()) item.changes[kept - 1] = item.changes[i - 1];
    ++kept;
  }
  item.pictures.resize(kept);
  if (!item.changes.empty()) item.changes.resize(kept - 1);
  return kept > kFewestWrong;
}

std::vector<std::string> some_wordings(const std::string& prompt, RandomStream& random) {
  auto texts = world::all_wordings(world::parse(prompt));
  std::erase(texts, prompt);
  for (size_t i = texts.size(); i > 1; --i)
    std::swap(texts[i - 1], texts[random.below(static_cast<int64_t>(i))]);
  if (texts.size() > kMostWordings) texts.resize(kMostWordings);
  return texts;
}

using Drawn = std::optional<MadeItem>;  // none: draw another

Drawn scene_item(int64_t number, const diffusion::Vae& vae, at::Generator& generator) {
  const bool seen = number % 2 == 0;
  const auto objects = static_cast<size_t>(number / 2 % world::kMaxObjects + 1);
  const auto& all = degradations();
  const auto& degradation =
      all[static_cast<size_t>(number / (2 * world::kMaxObjects)) % all.size()];
  const Scene scene =
      world::random_scene(generator, seen ? world::Split::kSeen : world::Split::kUnseen);
  if (scene.objects.size() != objects) return std::nullopt;
  const std::string prompt = world::caption(scene, generator);
  const auto claims = world::parse_caption(prompt);
  RandomStream random(generator);
  const auto wrong = changed_scenes(scene, kMostWrong, random, [&](const Scene& changed) {
    return !world::match(claims, world::truth(changed)).exact;
  });
  std::vector<Scene> scenes{scene};
  MadeItem item{.prompt = prompt,
                .slices = {seen ? "seen" : "unseen",
                           std::to_string(objects) + (objects == 1 ? " object" : " objects"),
                           degradation.name},
                .pictures = {}};
  for (const auto& one : wrong) {
    scenes.push_back(one.scene);
    item.changes.push_back(one.change);
  }
  item.pictures = pictures_of(scenes, vae, degradation);
  if (!keeps_what_is_wrong(item)) return std::nullopt;
  if (number % kEveryParaphrase == 0) item.wordings = some_wordings(prompt, random);
  return item;
}

// The second shape of two, replaced by the absent one in every colour.
Drawn negation_item(int64_t, const diffusion::Vae& vae, at::Generator& generator) {
  const Scene scene = world::random_scene(generator, world::Split::kSeen);
  RandomStream random(generator);
  const auto absent = static_cast<world::Kind>(random.below(world::kKinds));
  if (scene.objects.size() != 2 || scene.objects[0].kind == absent ||
      scene.objects[1].kind == absent)
    return std::nullopt;
  world::Phrase named;
  named.colour = scene.objects[0].colour;
  named.kind = scene.objects[0].kind;
  const world::Sentence sentence{.phrases = {named}, .absent = absent};
  std::vector<Scene> scenes{scene};
  Scene changed = scene;
  changed.objects[1].kind = absent;
  scenes.push_back(changed);
  for (int64_t colour = 0; colour < world::kColours; ++colour) {
    if (static_cast<world::Colour>(colour) == scene.objects[1].colour) continue;
    changed.objects[1].colour = static_cast<world::Colour>(colour);
    changed.objects[1].rgb = world::middle(world::kColourRanges[static_cast<size_t>(colour)]);
    scenes.push_back(changed);
  }
  if (!world::well_placed(changed)) return std::nullopt;
  MadeItem item{
      .prompt = world::write(sentence, [&](int64_t count) { return random.below(count); }),
      .slices = {"negation"},
      .pictures = pictures_of(scenes, vae, degradations()[0])};
  if (!keeps_what_is_wrong(item)) return std::nullopt;
  return item;
}

// Pictures that all show the caption; the raters clearly prefer the first one.
Drawn taste_item(int64_t, const diffusion::Vae& vae, at::Generator& generator) {
  const Scene scene = world::random_scene(generator, world::Split::kSeen);
  const std::string prompt = world::caption(scene, generator);
  const auto claims = world::parse_caption(prompt);
  RandomStream random(generator);
  const auto alike = changed_scenes(scene, kMostWrong, random, [&](const Scene& changed) {
    return world::match(claims, world::truth(changed)).exact;
  });
  std::vector<Scene> scenes{scene};
  for (const auto& one : alike) scenes.push_back(one.scene);
  auto pictures = pictures_of(scenes, vae, degradations()[0]);
  std::erase_if(pictures, [&](const at::Tensor& picture) { return !shows(picture, prompt); });
  if (pictures.size() <= kFewestWrong) return std::nullopt;
  const at::Tensor liked = rewards::rater_preference(at::stack(pictures));  // [B]
  const auto best = liked.argmax().item<int64_t>();
  MadeItem item{.prompt = prompt,
                .slices = {"taste"},
                .apart = true,
                .pictures = {pictures[static_cast<size_t>(best)]}};
  for (int64_t i = 0; i < liked.size(0); ++i) {
    if (liked[i].item<double>() <= liked[best].item<double>() - kClearPreference)
      item.pictures.push_back(pictures[static_cast<size_t>(i)]);
  }
  if (item.pictures.size() <= kFewestWrong) return std::nullopt;
  return item;
}

// Writes the pictures and returns the item's line.
std::string written(const MadeItem& item, const std::string& name, const fs::path& folder) {
  nlohmann::ordered_json line{{"prompt", item.prompt}, {"slice", item.slices}};
  if (item.apart) line["apart"] = true;
  for (size_t i = 0; i < item.pictures.size(); ++i) {
    const std::string file = name + data::formatted("-%zu.png", i);
    data::write_png(folder / file, item.pictures[i]);
    if (i == 0)
      line["chosen"] = file;
    else
      line["rejected"].push_back(file);
  }
  if (!item.changes.empty()) line["changes"] = item.changes;
  if (!item.wordings.empty()) line["variants"] = {{"paraphrase", item.wordings}};
  return data::to_text(line) + "\n";
}

struct ItemKind {
  const char* name;
  int64_t count;
  Drawn (*draw)(int64_t number, const diffusion::Vae& vae, at::Generator& generator);
};

}  // namespace

void write_world_items(const WorldItems& options,
                       const diffusion::Vae& vae,
                       const fs::path& folder) {
  auto generator = at::detail::createCPUGenerator(options.seed);
  const int64_t others = std::max<int64_t>(1, options.count / kShareOfOthers);
  std::string lines;
  for (const auto& kind : std::vector<ItemKind>{{"scene", options.count, scene_item},
                                                {"negation", others, negation_item},
                                                {"taste", others, taste_item}}) {
    int64_t tries = 0;
    for (int64_t number = 0; number < kind.count;) {
      if (++tries > kTriesOfAnItem * (kind.count + 10))
        throw data::BadInput(
            folder.string() + ": expected an autoencoder after which the oracle reads scenes of " +
            "64 x 64 pixels; found " + std::to_string(number) + " of " +
            std::to_string(kind.count) + " items of kind " + kind.name + "; name another --model");
      const auto item = kind.draw(number, vae, generator);
      if (!item) continue;
      lines += written(
          *item, kind.name + data::formatted("-%05lld", static_cast<long long>(number)), folder);
      ++number;
    }
  }
  data::write_file(folder / "items.jsonl", lines);
}

}  // namespace tools
