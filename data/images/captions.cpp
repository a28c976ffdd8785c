#include "data/images/captions.hpp"

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "data/base/csv.hpp"
#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "data/base/strings.hpp"
#include "data/images/formats/png_text.hpp"
#include "data/images/generation_parameters.hpp"
#include "data/unicode/encoding.hpp"

namespace fs = std::filesystem;

namespace data {
namespace {

constexpr uintmax_t kLongest = 1 << 20;  // bytes of a caption's file

Caption checked(const std::string& text, const std::string& where) {
  const std::string fault = text_fault(text);
  if (!fault.empty()) return {.fault = where + ": caption: " + fault};
  return {.text = trimmed(text)};
}

Caption caption_in_file(const fs::path& file) {
  const Caption too_long{
      .fault = file.string() + ": caption: expected a text of at most 1 MB, found a larger file"};
  std::error_code error;
  const uintmax_t size = fs::file_size(file, error);
  if (!error && size > kLongest) return too_long;
  try {
    const std::string bytes = read_file(file);
    return bytes.size() > kLongest ? too_long : checked(decoded_text(bytes), file.string());
  } catch (const BadInput& fault) {  // a folder of that name, no right to read it
    return {.fault = fault.what()};
  }
}

bool starts_as_png(const fs::path& image) {
  std::string start(8, '\0');
  std::ifstream(image, std::ios::binary).read(start.data(), 8);
  return is_png(start);
}

ListedImage listed_image(const fs::path& folder,
                         const nlohmann::json& object,
                         const std::string& where) {
  const auto name = object.find("file_name");
  if (name == object.end() || !name->is_string())
    throw BadInput(where + R"(: expected {"file_name": "..", "text": ".."}, found no file_name)");
  ListedImage image{
      .file = listed_file(folder, name->get<std::string>()), .caption = {}, .where = where};
  for (const char* key : {"text", "prompt", "caption"}) {
    const auto found = object.find(key);
    if (found == object.end() || !found->is_string()) continue;
    image.caption = checked(found->get<std::string>(), where);
    break;
  }
  return image;
}

std::vector<ListedImage> images_of_table(const fs::path& folder, const fs::path& list) {
  const auto table = parse_csv(decoded_text(read_file(list)), list.string());
  check_commas(table, list.string());
  std::vector<ListedImage> images;
  for (size_t i = 1; i < table.size(); ++i) {
    nlohmann::json object = nlohmann::json::object();
    for (size_t k = 0; k < std::min(table[0].fields.size(), table[i].fields.size()); ++k)
      object[table[0].fields[k]] = table[i].fields[k];
    images.push_back(
        listed_image(folder, object, list.string() + ":" + std::to_string(table[i].number)));
  }
  return images;
}

}  // namespace

fs::path list_in(const fs::path& folder) {
  for (const char* name : {"metadata.jsonl", "metadata.csv"}) {
    if (fs::is_regular_file(folder / name)) return folder / name;
  }
  return {};
}

Caption caption_in_png(const fs::path& image) {
  if (!starts_as_png(image)) return {};
  try {
    const PngText text = read_png_text(image);
    const auto found = text.find("parameters");
    return found == text.end() ? Caption{}
                               : Caption{.text = split_parameters(found->second).prompt};
  } catch (const BadInput& error) {
    return {.fault = error.what()};
  }
}

fs::path listed_file(const fs::path& folder, const std::string& name) {
  std::string slashed = name;
  std::replace(slashed.begin(), slashed.end(), '\\', '/');
  const fs::path whole = fs::path(slashed).lexically_normal();
  fs::path inside;
  if (std::distance(whole.begin(), whole.end()) > 1 &&
      *whole.begin() == fs::absolute(folder / ".").lexically_normal().parent_path().filename())
    inside = whole.lexically_relative(*whole.begin());
  std::error_code error;
  for (const fs::path& candidate : {fs::path(name), whole, inside}) {
    const fs::path file = (folder / candidate).lexically_normal();
    if (!candidate.empty() && fs::is_regular_file(file, error)) return file;
  }
  return (folder / name).lexically_normal();
}

std::vector<ListedImage> listed_images(const fs::path& folder) {
  std::vector<ListedImage> images;
  const fs::path list = list_in(folder);
  if (list.extension() == ".csv") return images_of_table(folder, list);
  if (list.empty()) return images;
  for_each_line(list, [&](const std::string& line, const std::string& where) {
    images.push_back(listed_image(folder, parse_json_object(line, where), where));
  });
  return images;
}

const Captions::List& Captions::list_of(const fs::path& folder) {
  const auto [place, fresh] = lists_.try_emplace(folder);
  if (fresh) {
    for (auto& image : listed_images(folder))
      place->second.emplace(image.file, std::move(image.caption));
  }
  return place->second;
}

std::optional<Caption> Captions::beside(const fs::path& image) {
  const fs::path file = image.lexically_normal();
  const fs::path text = fs::path(file).replace_extension(".txt");
  std::error_code error;
  if (text != file && fs::exists(text, error)) return caption_in_file(text);
  const fs::path folder = file.parent_path();
  for (const fs::path& place : {folder, folder.parent_path()}) {
    const List& list = list_of(place);
    const auto found = list.find(file);
    if (found != list.end()) return found->second;
    if (!folder.has_filename()) break;  // the folder of work, or the root
  }
  return std::nullopt;
}

Caption Captions::of(const fs::path& image) {
  const auto found = beside(image);
  return found ? *found : caption_in_png(image);
}

}  // namespace data
