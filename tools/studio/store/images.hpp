#pragma once

// The pictures that a store knows. A picture is a file's content with a prompt: a file that moves
// or is copied stays the same picture.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "data/database/connection.hpp"
#include "tools/gallery/collection.hpp"

namespace studio {

struct StoredImage {
  int64_t id = 0;
  std::filesystem::path path{};
  std::string prompt{};
  std::string run{}, set{};  // where it comes from: "my-run", "step-20"
  std::string sha256{};
};

// Records the pictures of runs and folders. A file is hashed once: again only when its size or its
// time changed. `seen` is called for each. -> the id of each, two the same for files of equal
// content and prompt; 0 for a file that cannot be read, for which `faults` gets a line.
std::vector<int64_t> record_images(data::Database& store,
                                   const gallery::Collection& pictures,
                                   std::vector<std::string>& faults,
                                   const std::function<void()>& seen = {});

// The ones of this prompt that the file holds, recorded where they are new; for choices that name
// files.
int64_t record_image(data::Database& store,
                     const std::filesystem::path& file,
                     const std::string& prompt);

// All pictures of the store.
std::vector<StoredImage> stored_images(data::Database& store);

}  // namespace studio
