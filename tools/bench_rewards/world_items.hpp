#pragma once

// Items of `laurel bench-rewards` from the built-in, synthetic world.

#include <cstdint>
#include <filesystem>

#include "diffusion/networks/vae/vae.hpp"

namespace tools {

struct WorldItems {
  int64_t count = 100;  // of scenes; a quarter as many items more are negations, a quarter taste
  uint64_t seed = 0;
};

// Writes the pictures (PNG) and items.jsonl (read_bench_items) into `folder`:
//   scenes     a caption, its scene, and up to nine changes that break the caption; slices seen or
//              unseen (combinations of colour and shape), "1 object" to "3 objects", and clean,
//              blurred or JPEG: what is done to all pictures of the item. Every fifth has its
//              caption in up to 16 other wordings, as the variant "paraphrase".
//   negation   "a red circle and no square": a scene with another shape, and with squares
//   taste      a caption and scenes for which it is true; the right one is what the simulated
//              raters prefer to each of the others by 0.5 of their scale or more. Apart.
// All pictures pass through the autoencoder. The oracle reads them from their final pixels: it
// finds each claim true in the right picture of a scene or negation, and a false one in each wrong
// picture; others are not used. Deterministic. Throws BadInput when it finds too few such scenes
// after this autoencoder.
void write_world_items(const WorldItems& options,
                       const diffusion::Vae& vae,
                       const std::filesystem::path& folder);

}  // namespace tools
