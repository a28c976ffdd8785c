#pragma once

// A store with small drawn pictures, for tests of the studio.

#include <ATen/ATen.h>

#include <filesystem>
#include <string>
#include <vector>

#include "data/images/image_io.hpp"
#include "tools/studio/store/images.hpp"
#include "tools/studio/store/schema.hpp"
#include "tools/studio/voting/pool.hpp"

namespace tests {

// A picture of one grey level with a few pixels of its own.
inline void draw_picture(const std::filesystem::path& file, double level, int mark) {
  at::Tensor image = at::full({3, 16, 16}, level);
  for (int bit = 0; bit < 12; ++bit) image[bit % 3][0][bit] = (mark >> bit) & 1;
  data::write_png(file, image, {{"parameters", "secret prompt\nSteps: 1, Model: secret-model"}});
}

// `prompts` prompts with `each` pictures, in `folder`.
struct DrawnStore {
  std::filesystem::path folder;
  studio::Store store;
  studio::Pool pool;

  DrawnStore(const std::filesystem::path& place, int prompts, int each)
      : folder(place), store(studio::open_store(place / "taste.laurel")) {
    int mark = 0;
    for (int prompt = 0; prompt < prompts; ++prompt) {
      for (int k = 0; k < each; ++k, ++mark) {
        const auto file = folder / (std::to_string(mark) + ".png");
        draw_picture(file, (k + 0.5) / each, mark);
        studio::record_image(store.database, file, "prompt " + std::to_string(prompt));
      }
    }
    pool = studio::make_pool(studio::stored_images(store.database), {});
  }
};

}  // namespace tests
