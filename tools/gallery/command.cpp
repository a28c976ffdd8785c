#include "tools/gallery/command.hpp"

#include <chrono>
#include <filesystem>
#include <iostream>

#include "data/base/error.hpp"
#include "data/base/log.hpp"
#include "tools/cli/options.hpp"
#include "tools/cli/version.hpp"
#include "tools/gallery/page.hpp"

namespace tools {
namespace {

constexpr int kWarningsShown = 8;

std::string utc_now() {
  char text[32];
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

void print_warnings(const gallery::Collection& all) {
  int count = 0;
  for (const auto& run : all.runs) {
    for (const auto& warning : run.warnings) {
      if (++count <= kWarningsShown) data::log_warning(warning);
    }
  }
  if (count > kWarningsShown) {
    data::log_warning(std::to_string(count - kWarningsShown) +
                      " more warnings; the page lists all of them under Settings");
  }
}

std::string count_text(size_t count, const std::string& word) {
  return std::to_string(count) + " " + word + (count == 1 ? "" : "s");
}

int gallery_command(const std::vector<std::string>& arguments) {
  gallery::PageOptions page{
      .output = "gallery.html", .title = "", .version = kVersion, .created = utc_now()};
  gallery::PictureOptions pictures_options;
  std::string output = "gallery.html";
  Options options("gallery", "Writes one offline HTML page of runs or folders of images.",
                  "RUN_OR_FOLDER...");
  options.text("output", output, "file of the page");
  options.short_name("output", 'o');
  bool recursive = false;
  options.flag("recursive", recursive, "also the images of folders inside folders, at any depth");
  options.text("title", page.title, "heading of the page; default: the names of the runs");
  options.flag("link", page.link,
               "the large view reads the original files instead of embedded ones");
  options.flag("smooth", page.smooth, "show enlarged images with smooth instead of sharp pixels");
  options.integer("thumbnail", pictures_options.thumbnail,
                  "longest side of an embedded thumbnail, pixels", 16, 4096);
  options.integer("quality", pictures_options.quality, "JPEG quality of thumbnails", 1, 100);
  options.integer("original_kb", pictures_options.original_kb,
                  "files up to this size are embedded unchanged, kB", 0, 100000);
  options.integer("originals_total_mb", pictures_options.originals_total_mb,
                  "limit of their total size, MB; above it thumbnails are embedded", 0, 2000);
  const auto parsed = options.parse(arguments);
  if (!parsed.proceed) return 0;
  if (parsed.positional.empty()) {
    throw data::BadInput(
        "laurel gallery: expected a run folder or a folder of images, found none (`laurel gallery "
        "--help`)");
  }
  page.output = output;
  auto all = gallery::collect(parsed.positional, recursive);
  auto pictures = gallery::make_pictures(all, pictures_options);
  gallery::drop_unreadable(all, pictures);
  gallery::write_page(all, pictures, page);
  print_warnings(all);
  std::cout << page.output.string() << ": " << count_text(all.images.size(), "image") << " in "
            << count_text(all.sets.size(), "set") << " of " << count_text(all.runs.size(), "run")
            << ", " << std::filesystem::file_size(page.output) / 1000 << " kB\n";
  return 0;
}

}  // namespace

const Command kGallery{"gallery", "write an offline HTML page of runs or folders of images",
                       gallery_command};

}  // namespace tools
