#pragma once

// The items of `laurel bench-rewards`: a prompt, its right picture, and wrong ones.

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "diffusion/networks/vae/vae.hpp"

namespace tools {

constexpr size_t kMostWrong = 9;

struct BenchItem {
  std::string prompt, slice;
  std::filesystem::path right;
  std::vector<std::filesystem::path> wrong;
  std::vector<std::string> changes{};  // of each wrong picture: what is wrong with it; or empty
};

// JSONL, paths relative to the file:
//   {"prompt", "chosen": FILE, "rejected": [1 to 9 files], "slice"?: NAME, "changes"?: [NAME]}
// Throws BadInput naming the first line of another form, an item whose right picture is among the
// wrong ones, and a file of none or of more than 100,000 items.
std::vector<BenchItem> read_bench_items(const std::filesystem::path& path);

struct WorldItems {
  int64_t count = 100;
  uint64_t seed = 0;
};
// Scenes of the built-in, synthetic world (a half of unseen combinations: slices "seen" and
// "unseen") with up to nine edits each that break the caption, one of each kind first. All pictures
// pass through the same autoencoder, so that the way they are stored tells none from another.
// Writes them and items.jsonl into `folder`.
void write_world_items(const WorldItems& options,
                       const diffusion::Vae& vae,
                       const std::filesystem::path& folder);

}  // namespace tools
