#include "tools/bench_rewards/items.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/format.hpp"
#include "data/base/json.hpp"
#include "data/images/image_io.hpp"
#include "data/world/caption.hpp"
#include "data/world/edit.hpp"
#include "data/world/match.hpp"

namespace fs = std::filesystem;
using data::BadInput;

namespace tools {
namespace {

constexpr size_t kMostItems = 100'000;
constexpr int kTriesOfItem = 400;  // edits drawn for the wrong pictures

[[noreturn]] void refuse_item(const std::string& where, const std::string& what) {
  throw BadInput(where + ": " + what +
                 R"(; expected {"prompt", "chosen": FILE, "rejected": [1 to 9 files]})");
}

std::string item_text(const nlohmann::json& line, const char* key, const std::string& where) {
  if (!line.contains(key) || !line[key].is_string())
    refuse_item(where, std::string(key) + " is no text");
  return line[key].get<std::string>();
}

std::vector<std::string> item_texts(const nlohmann::json& line,
                                    const char* key,
                                    const std::string& where) {
  std::vector<std::string> texts;
  if (!line.contains(key) || !line[key].is_array())
    refuse_item(where, std::string(key) + " is no list");
  for (const auto& text : line[key]) {
    if (!text.is_string()) refuse_item(where, std::string(key) + " holds no text");
    texts.push_back(text.get<std::string>());
  }
  return texts;
}

BenchItem item_of(const nlohmann::json& line, const fs::path& folder, const std::string& where) {
  BenchItem item{.prompt = item_text(line, "prompt", where),
                 .slice = line.contains("slice") ? item_text(line, "slice", where) : "",
                 .right = folder / item_text(line, "chosen", where),
                 .wrong = {}};
  for (const auto& name : item_texts(line, "rejected", where)) item.wrong.push_back(folder / name);
  if (item.wrong.empty() || item.wrong.size() > kMostWrong)
    refuse_item(where, std::to_string(item.wrong.size()) + " rejected files");
  if (std::find(item.wrong.begin(), item.wrong.end(), item.right) != item.wrong.end())
    refuse_item(where, "the chosen picture is also rejected, so that none is right");
  if (line.contains("changes")) item.changes = item_texts(line, "changes", where);
  if (!item.changes.empty() && item.changes.size() != item.wrong.size())
    refuse_item(where, "changes: expected one of each rejected file");
  return item;
}

const char* name_of_operation(world::EditOperation operation) {
  static constexpr const char* kNames[] = {"colour", "place",   "added",     "missing",
                                           "size",   "swapped", "background"};
  return kNames[static_cast<size_t>(operation)];
}

// A random edit of which only the parts that the operation reads are set; none where the scene does
// not allow the operation.
std::optional<world::Edit> drawn_edit(const world::Scene& scene, world::RandomStream& random) {
  using Operation = world::EditOperation;
  const auto objects = static_cast<int64_t>(scene.objects.size());
  world::Edit edit{.operation = static_cast<Operation>(random.below(world::kOperations))};
  if (edit.operation != Operation::kAdd && edit.operation != Operation::kBackground)
    edit.object = static_cast<size_t>(random.below(objects));
  if (edit.operation == Operation::kRecolour || edit.operation == Operation::kAdd)
    edit.colour = static_cast<world::Colour>(random.below(world::kColours));
  if (edit.operation == Operation::kResize || edit.operation == Operation::kAdd)
    edit.size = static_cast<world::Size>(random.below(world::kSizes));
  if (edit.operation == Operation::kAdd) {
    edit.kind = static_cast<world::Kind>(random.below(world::kKinds));
    edit.place = static_cast<world::Place>(random.below(world::kPlaces));
    if (objects >= world::kMaxObjects) return std::nullopt;
  }
  if (edit.operation == Operation::kMove)
    edit.direction = static_cast<world::Direction>(random.below(world::kDirections));
  if (edit.operation == Operation::kBackground)
    edit.tone = static_cast<world::Tone>(random.below(world::kTones));
  if (edit.operation == Operation::kSwap) edit.other = static_cast<size_t>(random.below(objects));
  const bool alone = edit.operation == Operation::kRemove || edit.operation == Operation::kSwap;
  if (alone && objects < 2) return std::nullopt;
  if (edit.operation == Operation::kSwap && edit.other <= edit.object) return std::nullopt;
  return edit;
}

struct WrongScene {
  world::Scene scene;
  const char* change;
};

// Edits of the source that break its caption, of distinct pictures, as many kinds as there are.
std::vector<WrongScene> wrong_scenes(const world::Scene& source,
                                     const std::vector<world::Claim>& claims,
                                     world::RandomStream& random) {
  std::map<std::string, std::vector<WrongScene>> by_kind;
  std::set<std::vector<int64_t>> known;
  for (int attempt = 0; attempt < kTriesOfItem; ++attempt) {
    const auto edit = drawn_edit(source, random);
    if (!edit) continue;
    const std::vector<int64_t> key{
        static_cast<int64_t>(edit->operation), static_cast<int64_t>(edit->object),
        static_cast<int64_t>(edit->other),     static_cast<int64_t>(edit->colour),
        static_cast<int64_t>(edit->kind),      static_cast<int64_t>(edit->size),
        static_cast<int64_t>(edit->place),     static_cast<int64_t>(edit->direction),
        static_cast<int64_t>(edit->tone)};
    if (!known.insert(key).second) continue;
    world::Scene scene = apply(source, *edit);
    if (!well_placed(scene) || match(claims, truth(scene)).exact) continue;
    const char* change = name_of_operation(edit->operation);
    by_kind[change].push_back({std::move(scene), change});
  }
  std::vector<WrongScene> wrong;
  for (size_t round = 0; wrong.size() < kMostWrong; ++round) {
    const size_t before = wrong.size();
    for (auto& [kind, scenes] : by_kind) {
      if (round < scenes.size() && wrong.size() < kMostWrong) wrong.push_back(scenes[round]);
    }
    if (wrong.size() == before) break;
  }
  return wrong;
}

// The pictures of an item, all through the autoencoder in one batch. -> [1 + W, 3, 64, 64]
at::Tensor pictures_of(const world::Scene& right,
                       const std::vector<WrongScene>& wrong,
                       const diffusion::Vae& vae) {
  std::vector<at::Tensor> images{render(right)};
  for (const auto& one : wrong) images.push_back(render(one.scene));
  const at::NoGradGuard no_grad;
  return diffusion::latents_to_images(vae, diffusion::images_to_latents(vae, at::stack(images)));
}

}  // namespace

std::vector<BenchItem> read_bench_items(const fs::path& path) {
  std::vector<BenchItem> items;
  data::for_each_line(path, [&](const std::string& text, const std::string& where) {
    items.push_back(item_of(data::parse_json_object(text, where), path.parent_path(), where));
    if (items.size() > kMostItems)
      throw BadInput(where + ": expected at most 100,000 items; split the file");
  });
  if (items.empty()) throw BadInput(path.string() + ": expected items, found none");
  return items;
}

void write_world_items(const WorldItems& options,
                       const diffusion::Vae& vae,
                       const fs::path& folder) {
  auto generator = at::detail::createCPUGenerator(options.seed);
  std::string lines;
  for (int64_t number = 0; number < options.count;) {
    const bool seen = number % 2 == 0;
    const world::Scene scene =
        world::random_scene(generator, seen ? world::Split::kSeen : world::Split::kUnseen);
    const std::string prompt = world::caption(scene, generator);
    world::RandomStream random(generator);
    const auto wrong = wrong_scenes(scene, world::parse_caption(prompt), random);
    if (wrong.size() < 2) continue;  // a caption that says too little
    const at::Tensor pictures = pictures_of(scene, wrong, vae);
    nlohmann::ordered_json line{{"prompt", prompt}, {"slice", seen ? "seen" : "unseen"}};
    for (int64_t i = 0; i < pictures.size(0); ++i) {
      const std::string name = data::formatted("%05lld-%lld.png", static_cast<long long>(number),
                                               static_cast<long long>(i));
      data::write_png(folder / name, pictures[i]);
      if (i == 0)
        line["chosen"] = name;
      else
        line["rejected"].push_back(name);
    }
    for (const auto& one : wrong) line["changes"].push_back(one.change);
    lines += data::to_text(line) + "\n";
    ++number;
  }
  data::write_file(folder / "items.jsonl", lines);
}

}  // namespace tools
