#pragma once

// Writes the page: one HTML file that loads nothing.

#include <filesystem>
#include <string>
#include <vector>

#include "tools/gallery/pictures.hpp"

namespace gallery {

struct PageOptions {
  std::filesystem::path output = "gallery.html";
  std::string title;    // empty: the names of the runs
  bool link = false;    // the large view reads the original files, relative to the page
  bool smooth = false;  // enlarged images have smooth instead of sharp pixels
  std::string version;
  std::string created;  // ISO 8601, UTC
};

// Removes the images that could not be read, with a warning in their run. Throws BadInput when none
// remains.
void drop_unreadable(Collection& all, std::vector<Picture>& pictures);

// The page's data without the pictures, as JSON without '<', so that it is valid in a script
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
