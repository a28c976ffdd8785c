#pragma once

// Collects run folders and image folders as runs, their sets of images, and items. An item is a
// prompt and a seed; it has at most one image in each set, so that base and finetuned images can be
// compared.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "tools/gallery/records.hpp"

namespace gallery {

struct Image {
  std::filesystem::path path;
  std::string file;  // relative to the run's folder
  size_t set = 0, item = 0;
  Record record;
};

struct Set {
  size_t run = 0;
  std::string name;             // "base", "step-20", or the folder's name
  std::optional<int64_t> step;  // base is 0
};

struct GalleryRun {
  std::string name;
  std::filesystem::path path;  // as given by the user
  std::string info;            // contents of run.json, or empty
  std::string config;          // contents of config.toml, or empty
  bool synthetic = false;
  std::vector<Series> metrics;
  std::vector<std::string> verdicts{};  // of the guard, as JSON
  std::vector<std::string> warnings;
};

struct GalleryItem {
  std::string key;  // the file's name without its extension
  std::string prompt, split;
  std::optional<int64_t> seed;
};

struct Collection {
  std::vector<GalleryRun> runs;
  std::vector<Set> sets;
  std::vector<Image> images;  // by set, then by file name
  std::vector<GalleryItem> items;
};

// Each path is a run folder (with samples/), a folder of images, or a folder of such folders; with
// `recursive` the folders inside these count too, at any depth.
// Throws BadInput when a path is missing, when no image is found, and for an invalid file
// (records.hpp).
Collection collect(const std::vector<std::string>& paths, bool recursive = false);

}  // namespace gallery
