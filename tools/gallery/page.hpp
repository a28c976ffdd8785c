#pragma once

// The page itself: one HTML file that loads nothing.

#include <filesystem>
#include <string>
#include <vector>

#include "tools/gallery/pictures.hpp"

namespace gallery {

struct PageOptions {
  std::filesystem::path output = "gallery.html";
  std::string title;    // empty: the runs' names
  bool link = false;    // the large view reads the files where they lie, relative to the page
  bool smooth = false;  // pixels are blurred, not sharp, when enlarged
  std::string version;
  std::string created;  // ISO 8601, UTC
};

// Leaves out the images that could not be read, with a warning each in their run. Throws BadInput
// when none is left.
void drop_unreadable(Collection& all, std::vector<Picture>& pictures);

// Everything but the pictures, as JSON in which no '<' occurs: it may stand inside a script
// element.
std::string page_data(const Collection& all,
                      const std::vector<Picture>& pictures,
                      const PageOptions& options);

// Writes the page, atomically.
void write_page(const Collection& all,
                const std::vector<Picture>& pictures,
                const PageOptions& options);

std::string html_escaped(const std::string& text);

}  // namespace gallery
