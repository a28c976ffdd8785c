#include "tools/gallery/collection.hpp"

#include <algorithm>
#include <map>
#include <set>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/numbers.hpp"
#include "data/images/captions.hpp"
#include "data/images/formats/png_text.hpp"
#include "data/images/image_files.hpp"

namespace fs = std::filesystem;

namespace gallery {
namespace {

struct Listing {
  std::vector<fs::path> images, folders;  // by name
};

Listing list(const fs::path& folder) {
  Listing listing;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (entry.path().filename().string().starts_with(".")) continue;
    if (entry.is_directory(error)) {
      listing.folders.push_back(entry.path());
    } else if (data::is_image_name(entry.path())) {
      listing.images.push_back(entry.path());
    }
  }
  if (error) throw data::BadInput(folder.string() + ": cannot be read: " + error.message());
  std::sort(listing.images.begin(), listing.images.end());
  std::sort(listing.folders.begin(), listing.folders.end());
  return listing;
}

bool is_run(const fs::path& folder) { return fs::is_directory(folder / "samples"); }

// "step-20" -> 20, "base" -> 0.
std::optional<int64_t> step_of(const std::string& name) {
  constexpr std::string_view kStep = "step-";
  if (name == "base") return 0;
  if (!name.starts_with(kStep)) return std::nullopt;
  return data::number_of<int64_t>(std::string_view(name).substr(kStep.size()));
}

Record png_record(const fs::path& path, std::vector<std::string>& warnings) {
  try {
    const std::string bytes = data::read_file(path);
    if (!data::is_png(bytes)) return {};
    const auto text = data::png_text_of(bytes, path.string());
    const auto found = text.find("parameters");
    return found == text.end() ? Record{} : parse_parameters(found->second);
  } catch (const data::BadInput& error) {
    warnings.push_back(error.what());
    return {};
  }
}

// scores.jsonl takes precedence over the text in the PNG.
Record merged(Record inside, const Record& scores) {
  if (!scores.prompt.empty()) inside.prompt = scores.prompt;
  if (scores.seed) inside.seed = scores.seed;
  inside.split = scores.split;
  for (const auto& [name, value] : scores.rewards) inside.rewards[name] = value;
  return inside;
}

void add_set(Collection& all, const fs::path& folder, const std::string& name) {
  GalleryRun& run = all.runs.back();
  const auto listing = list(folder);
  if (listing.images.empty()) return;
  const fs::path scores_path = folder / "scores.jsonl";
  const auto scores = fs::exists(scores_path) ? read_scores(scores_path, run.warnings)
                                              : std::map<std::string, Record>{};
  data::Captions captions;
  for (const auto& path : listing.images) {
    const auto found = scores.find(path.filename().string());
    Record record = png_record(path, run.warnings);
    if (record.prompt.empty()) record.prompt = captions.of(path).text;
    if (found != scores.end()) record = merged(std::move(record), found->second);
    all.images.push_back({.path = path,
                          .file = path.lexically_relative(run.path).generic_string(),
                          .set = all.sets.size(),
                          .item = 0,
                          .record = std::move(record)});
  }
  all.sets.push_back({.run = all.runs.size() - 1, .name = name, .step = step_of(name)});
}

// A set for the folder, and with `recursive` one for each folder inside it, at any depth.
void add_sets(Collection& all, const fs::path& folder, const std::string& name, bool recursive) {
  add_set(all, folder, name);
  if (!recursive) return;
  for (const auto& inner : list(folder).folders) {
    if (!fs::is_symlink(inner))  // which may lead around in a circle
      add_sets(all, inner, name + "/" + inner.filename().string(), recursive);
  }
}

void read_run_files(GalleryRun& run) {
  if (fs::exists(run.path / "run.json")) {
    const auto info = read_run_info(run.path / "run.json");
    run.info = info.json;
    run.synthetic = info.synthetic;
  }
  if (fs::exists(run.path / "config.toml")) run.config = data::read_file(run.path / "config.toml");
  if (fs::exists(run.path / "metrics.jsonl")) {
    run.metrics = read_metrics(run.path / "metrics.jsonl", run.warnings);
  }
  if (fs::exists(run.path / "guard.jsonl"))
    run.verdicts = read_verdicts(run.path / "guard.jsonl", run.warnings);
}

std::string name_of(const fs::path& path) {
  const fs::path normal = fs::absolute(path).lexically_normal();
  return normal.has_filename() ? normal.filename().string()
                               : normal.parent_path().filename().string();
}

// Order: base, then the steps, then other names.
void sort_sets(std::vector<fs::path>& folders) {
  const auto rank = [](const fs::path& folder) {
    return step_of(folder.filename().string()).value_or(std::numeric_limits<int64_t>::max());
  };
  std::stable_sort(folders.begin(), folders.end(),
                   [&](const auto& a, const auto& b) { return rank(a) < rank(b); });
}

void add_folder(Collection& all, const fs::path& folder, bool recursive) {
  const bool run = is_run(folder);
  auto listing = list(run ? folder / "samples" : folder);
  all.runs.push_back({.name = name_of(folder),
                      .path = folder,
                      .info = {},
                      .config = {},
                      .metrics = {},
                      .warnings = {}});
  const size_t sets_before = all.sets.size();
  read_run_files(all.runs.back());
  sort_sets(listing.folders);
  if (!listing.images.empty()) add_set(all, run ? folder / "samples" : folder, name_of(folder));
  std::vector<fs::path> inner;
  for (const auto& sub : listing.folders) {
    if (is_run(sub)) {
      inner.push_back(sub);
    } else if (!sub.filename().string().starts_with("checkpoint-")) {
      add_sets(all, sub, sub.filename().string(), recursive);
    }
  }
  if (all.sets.size() == sets_before && all.runs.back().metrics.empty()) all.runs.pop_back();
  for (const auto& sub : inner) add_folder(all, sub, recursive);
}

// Runs of equal names are prefixed with the name of their parent folder.
void tell_names_apart(std::vector<GalleryRun>& runs) {
  std::map<std::string, int> counts;
  for (const auto& run : runs) ++counts[run.name];
  for (auto& run : runs) {
    if (counts[run.name] > 1) run.name = name_of(run.path.parent_path() / ".") + "/" + run.name;
  }
}

// A missing prompt, seed or split is taken from the file of the same name in another set of the
// run.
void fill_records(Collection& all) {
  std::map<std::string, Record> known;
  const auto key = [&](const Image& image) {
    return std::to_string(all.sets[image.set].run) + "/" + image.path.filename().string();
  };
  for (const auto& image : all.images) {
    Record& record = known[key(image)];
    if (record.prompt.empty()) record.prompt = image.record.prompt;
    if (record.split.empty()) record.split = image.record.split;
    if (!record.seed) record.seed = image.record.seed;
  }
  for (auto& image : all.images) {
    const Record& record = known[key(image)];
    if (image.record.prompt.empty()) image.record.prompt = record.prompt;
    if (image.record.split.empty()) image.record.split = record.split;
    if (!image.record.seed) image.record.seed = record.seed;
  }
}

// Images of the same prompt and seed form one item; without these, images of the same file name. A
// second image of the same prompt and seed in a set is an item of its own.
void assign_items(Collection& all) {
  std::map<std::string, size_t> places;
  std::set<std::pair<size_t, std::string>> taken;
  for (auto& image : all.images) {
    const Record& record = image.record;
    const std::string name = image.path.stem().string();
    std::string key = record.seed && !record.prompt.empty()
                          ? record.prompt + "\n" + std::to_string(*record.seed)
                          : "file " + name;
    while (!taken.emplace(image.set, key).second) key += "'";
    const auto [place, added] = places.try_emplace(key, all.items.size());
    if (added) {
      all.items.push_back(
          {.key = name, .prompt = record.prompt, .split = record.split, .seed = record.seed});
    }
    GalleryItem& item = all.items[place->second];
    if (item.split.empty()) item.split = record.split;
    image.item = place->second;
  }
}

}  // namespace

Collection collect(const std::vector<std::string>& paths, bool recursive) {
  Collection all;
  for (const auto& path : paths) {
    if (!fs::exists(path)) {
      throw data::BadInput(path + ": expected a run folder or a folder of images, found nothing");
    }
    if (!fs::is_directory(path)) {
      throw data::BadInput(path +
                           ": expected a folder, found a file; give the folder of this file");
    }
    add_folder(all, fs::path(path).lexically_normal(), recursive);
  }
  if (all.images.empty()) {
    throw data::BadInput(paths.front() + (paths.size() > 1 ? " and the other folders" : "") +
                         ": expected " + data::kImageKinds +
                         " files, or <run>/samples/<set>/*.png, found no image");
  }
  tell_names_apart(all.runs);
  fill_records(all);
  assign_items(all);
  return all;
}

}  // namespace gallery
