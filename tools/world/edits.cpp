// `laurel world edits`: imperfect edits of the built-in world with exact scores.
// `laurel world edit-scores`: the exact scores of edited pictures.

#include "tools/world/edits.hpp"

#include <ATen/ATen.h>

#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/format.hpp"
#include "data/base/json.hpp"
#include "data/images/image_files.hpp"
#include "data/images/image_io.hpp"
#include "data/world/edit_sample.hpp"
#include "tools/cli/console/progress.hpp"
#include "tools/cli/options.hpp"

namespace fs = std::filesystem;
using data::BadInput;
using nlohmann::ordered_json;

namespace tools {
namespace {

struct WorldEditsConfig {
  std::string out, split = "seen";
  int64_t count = 20000, seed = 0;
  double well_scored = 4.5;
  bool flat = false, flawless = false;
};

void declare(Options& options, WorldEditsConfig& s) {
  options.text("out", s.out, "folder for source/, edited/, metadata.jsonl and well_scored.jsonl");
  options.integer("count", s.count, "edits to draw", 1, 1000000);
  options.choice("split", s.split, {"seen", "unseen"},
                 "unseen: instructions about held-out combinations of colour and shape");
  options.integer("seed", s.seed, "equal seeds draw equal edits", 0);
  options.flag("flat", s.flat, "16 x 16 pixels, nine colours, only recolour and remove");
  options.flag("flawless", s.flawless, "every edited picture is the exact target");
  options.number("well_scored", s.well_scored,
                 "smallest score on every axis of the lines copied to well_scored.jsonl", 0, 5);
}

// Without a flush to disk per file: a folder is complete once it has metadata.jsonl.
void write_image(const fs::path& path, const at::Tensor& image) {
  const std::string bytes = data::encode_png(image);
  std::ofstream file(path, std::ios::binary);
  if (!file.write(bytes.data(), static_cast<std::streamsize>(bytes.size())).flush())
    throw BadInput(path.string() + ": could not be written; is the disk full or read-only?");
}

ordered_json scores_of(const world::EditScores& scores) {
  ordered_json values;
  for (size_t axis = 0; axis < scores.values.size(); ++axis)
    values[world::kAxisNames[axis]] = scores.values[axis];
  return values;
}

ordered_json line_of(const world::EditSample& triple,
                     const world::EditSampleOptions& options,
                     int64_t index,
                     const std::string& file) {
  return {{"id", triple.id},
          {"file_name", "source/" + file},
          {"edit_prompt", triple.instruction},
          {"edited_file_name", "edited/" + file},
          {"scores", scores_of(triple.scores)},
          {"feedback", triple.scores.sentence()},
          {"operation", triple.operation},
          {"world",
           {{"seed", options.seed},
            {"index", index},
            {"split", options.split == world::Split::kSeen ? "seen" : "unseen"},
            {"flat", options.flat}}}};
}

struct Means {
  std::array<double, world::kAxes> sums = {};
  int64_t count = 0;
  void add(const world::EditScores& scores) {
    for (size_t axis = 0; axis < sums.size(); ++axis) sums[axis] += scores.values[axis];
    count += 1;
  }
};

void print_means(const std::string& name, const Means& means) {
  std::cout << data::formatted("%-16s", name.c_str());
  for (const double sum : means.sums)
    std::cout << data::formatted("%8.3f",
                                 sum / static_cast<double>(std::max<int64_t>(1, means.count)));
  std::cout << data::formatted("\n");
}

bool all_reach(const world::EditScores& scores, double least) {
  return std::all_of(scores.values.begin(), scores.values.end(),
                     [&](double value) { return value >= least; });
}

void write_triples(const WorldEditsConfig& s, const world::EditSampleOptions& drawn) {
  const fs::path folder = s.out;
  fs::create_directories(folder / "source");
  fs::create_directories(folder / "edited");
  std::string all, well;
  int64_t well_count = 0;
  Means means;
  Progress progress("Drawing", s.count, "edit");
  for (int64_t index = 0; index < s.count; ++index) {
    const world::EditSample triple = world::draw_edit_sample(drawn, index);
    char file[24];
    std::snprintf(file, sizeof file, "%06lld.png", static_cast<long long>(index));
    write_image(folder / "source" / file, triple.source);
    write_image(folder / "edited" / file, triple.edited);
    const std::string line = data::to_text(line_of(triple, drawn, index, file)) + "\n";
    all += line;
    if (all_reach(triple.scores, s.well_scored)) {
      well += line;
      well_count += 1;
    }
    means.add(triple.scores);
    progress.advance();
  }
  data::write_file(folder / "well_scored.jsonl", well);
  data::write_file(folder / "metadata.jsonl", all);
  std::cout << data::formatted(
      "%lld edits in %s, %lld of them with %.2f or more on every axis\nmean of "
      "following, preserving, quality (0 to 5):\n",
      static_cast<long long>(s.count), s.out.c_str(), static_cast<long long>(well_count),
      s.well_scored);
  print_means("scores", means);
}

struct EditScoresConfig {
  std::string edits, images, out;
};

void print_baselines(const std::vector<world::EditView>& views) {
  Means copy, target, grey, blend;
  for (const world::EditView& view : views) {
    copy.add(world::score_edit(view, view.source));
    target.add(world::score_edit(view, view.target));
    grey.add(world::score_edit(view, at::full_like(view.source, 0.5)));
    blend.add(world::score_edit(view, (view.source + view.target) / 2));
  }
  print_means("exact target", target);
  print_means("copy of source", copy);
  print_means("plain grey", grey);
  print_means("half and half", blend);
}

void score_images(const EditScoresConfig& s, const std::vector<world::EditView>& views) {
  const auto files = data::list_images(s.images);
  if (files.size() != views.size()) {
    throw BadInput("--images " + s.images + ": expected one image for each of the " +
                   std::to_string(views.size()) +
                   " lines of --edits, in the order of their names; "
                   "found " +
                   std::to_string(files.size()));
  }
  std::string lines;
  Means means;
  for (size_t i = 0; i < files.size(); ++i) {
    const at::Tensor image = data::read_image(files[i]);
    if (image.sizes() != views[i].source.sizes())
      throw BadInput(files[i].string() +
                     ": expected the size of the source, found another; edit at the source's size");
    const world::EditScores scores = world::score_edit(views[i], image);
    means.add(scores);
    lines += data::to_text(ordered_json{{"image", files[i].filename().string()},
                                        {"scores", scores_of(scores)},
                                        {"feedback", scores.sentence()}}) +
             "\n";
  }
  print_means("these images", means);
  if (!s.out.empty()) data::write_file(s.out, lines);
}

int edits_command(const std::vector<std::string>& arguments) {
  WorldEditsConfig s;
  Options options("world edits",
                  "Draws imperfect edits of the built-in world with exact scores (synthetic).");
  declare(options, s);
  if (!options.parse(arguments).proceed) return 0;
  if (s.out.empty()) throw BadInput("laurel world edits: expected --out FOLDER, found none");
  if (fs::exists(fs::path(s.out) / "metadata.jsonl")) {
    throw BadInput("--out " + s.out +
                   ": expected an empty or new folder, found metadata.jsonl; name another");
  }
  write_triples(s, {.seed = static_cast<uint64_t>(s.seed),
                    .split = s.split == "seen" ? world::Split::kSeen : world::Split::kUnseen,
                    .flat = s.flat,
                    .flawless = s.flawless});
  return 0;
}

int edit_scores_command(const std::vector<std::string>& arguments) {
  EditScoresConfig s;
  Options options(
      "world edit-scores",
      "Computes exact scores of edited pictures of `laurel world edits` (synthetic), and "
      "those of baselines such as the unchanged source.");
  options.text("edits", s.edits, "metadata.jsonl of `laurel world edits`, or a part of its lines");
  options.text("images", s.images,
               "folder of edited pictures: one per line, sorted by name; none: only the baselines");
  options.text("out", s.out, "JSONL file for each picture's scores and feedback");
  if (!options.parse(arguments).proceed) return 0;
  if (s.edits.empty())
    throw BadInput("laurel world edit-scores: expected --edits FILE, found none");
  std::vector<world::EditView> views;
  data::for_each_line(s.edits, [&](const std::string& line, const std::string& where) {
    views.push_back(world::view_of_line(line, where));
  });
  std::cout << data::formatted("%-16s%8s%8s%8s\n", "0 to 5, means", "follow", "keep", "quality");
  print_baselines(views);
  if (!s.images.empty()) score_images(s, views);
  return 0;
}

}  // namespace

const Command kWorldEdits{"edits", "imperfect edits with exact scores", edits_command};

const Command kWorldEditScores{"edit-scores", "exact scores of edited pictures",
                               edit_scores_command};

}  // namespace tools
