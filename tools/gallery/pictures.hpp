#pragma once

// Images in the form in which the page embeds them.

#include <cstdint>
#include <string>
#include <string_view>

#include "tools/gallery/collection.hpp"

namespace gallery {

struct PictureOptions {
  int64_t thumbnail = 320;          // longest side in pixels of an embedded thumbnail
  int64_t quality = 85;             // JPEG quality of thumbnails
  int64_t original_kb = 24;         // PNG and JPEG files up to this size are embedded unchanged
  int64_t originals_total_mb = 48;  // if their total size is below this
};

struct Picture {
  std::string line;               // 'p' (PNG) or 'j' (JPEG), then base64; empty: unreadable
  int64_t width = 0, height = 0;  // of the file
  std::string fault;              // why it is unreadable
};

// One picture per image of the collection, in order.
std::vector<Picture> make_pictures(const Collection& all, const PictureOptions& options);

}  // namespace gallery
