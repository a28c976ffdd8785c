#pragma once

// The captions of images, the same for every command: NAME.txt beside NAME.png, else the image's
// line of metadata.jsonl ({"file_name": "a.png", "text": ".."}, Hugging Face's image folder; the
// text may stand under "prompt" or "caption") or of metadata.csv with these columns, else the
// prompt in a PNG's `parameters`.

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace data {

struct Caption {
  std::string text{};   // UTF-8, without white space at its ends; "": there is none
  std::string fault{};  // why a caption that is there cannot be read, naming its file; "": none
};

struct ListedImage {
  std::filesystem::path file;  // normalised
  Caption caption;
  std::string where;  // "metadata.jsonl:12"
};

// The folder's metadata.jsonl, else its metadata.csv; empty: it has neither.
std::filesystem::path list_in(const std::filesystem::path& folder);

// The lines of that list; none where there is no such file. Throws BadInput with line and column
// for a line that is no JSON or names no file.
std::vector<ListedImage> listed_images(const std::filesystem::path& folder);

// The file that a list in `folder` calls `name`: "a.png", "./a.png", Windows' "train\a.png", or
// "train/a.png" in a list that lies in train itself. Normalised; it may not exist.
std::filesystem::path listed_file(const std::filesystem::path& folder, const std::string& name);

// The prompt in a PNG's `parameters`; of any other file nothing.
Caption caption_in_png(const std::filesystem::path& image);

// Finds captions; each list is read once, that of the image's folder and of the folder around it.
class Captions {
 public:
  // Throws BadInput for a damaged metadata.jsonl; what is wrong with one caption is its fault.
  Caption of(const std::filesystem::path& image);
  // The same without the PNG's own text; nullopt: there is none.
  std::optional<Caption> beside(const std::filesystem::path& image);

 private:
  using List = std::map<std::filesystem::path, Caption>;
  const List& list_of(const std::filesystem::path& folder);
  std::map<std::filesystem::path, List> lists_;
};

}  // namespace data
