#include "rewards/pairs/choice_folders.hpp"

#include <map>

#include "data/base/error.hpp"
#include "data/images/captions.hpp"
#include "data/images/image_files.hpp"

namespace fs = std::filesystem;

namespace rewards {
namespace {

constexpr std::string_view kRejected = "-rejectedlabel";

using ImagesByName = std::map<std::string, fs::path>;  // without the ending

std::string prompt_of(data::Captions& captions, const fs::path& preferred, const fs::path& other) {
  for (const auto& image : {preferred, other}) {
    const data::Caption caption = captions.of(image);
    if (!caption.fault.empty()) throw data::BadInput(caption.fault);
    if (!caption.text.empty()) return caption.text;
  }
  return "";
}

ImagesByName images_by_name(const fs::path& folder) {
  ImagesByName images;
  for (const auto& file : data::list_images(folder.string())) {
    const auto [place, fresh] = images.emplace(file.stem().string(), file);
    if (!fresh)
      throw data::BadInput(file.string() + ": has the name of " + place->second.string() +
                           "; rename one of them");
  }
  return images;
}

// Pairs of equal names. `expected`: where the preferred image was looked for.
Choices matched(const ImagesByName& preferred,
                const ImagesByName& rejected,
                const std::string& expected) {
  Choices choices;
  data::Captions captions;
  for (const auto& [name, file] : rejected) {
    const auto found = preferred.find(name);
    if (found == preferred.end()) {
      choices.left_out.push_back(file.string() + ": no preferred image " + expected + name + ".*");
      continue;
    }
    choices.pairs.push_back({prompt_of(captions, found->second, file), found->second, file});
  }
  return choices;
}

Choices siblings(const fs::path& folder) {
  ImagesByName preferred, rejected;
  for (const auto& [name, file] : images_by_name(folder)) {
    if (name.ends_with(kRejected))
      rejected.emplace(name.substr(0, name.size() - kRejected.size()), file);
    else
      preferred.emplace(name, file);
  }
  return matched(preferred, rejected, "");
}

Choices winners_and_losers(const fs::path& folder) {
  const auto preferred = images_by_name(folder / "w"), rejected = images_by_name(folder / "l");
  Choices choices = matched(preferred, rejected, "w/");
  for (const auto& [name, file] : preferred) {
    if (!rejected.contains(name))
      choices.left_out.push_back(file.string() + ": no other image l/" + name + ".*");
  }
  return choices;
}

}  // namespace

Choices choices_in_folder(const fs::path& folder) {
  const bool sides = fs::is_directory(folder / "w") && fs::is_directory(folder / "l");
  Choices choices = sides ? winners_and_losers(folder) : siblings(folder);
  if (choices.pairs.empty())
    throw data::BadInput(folder.string() +
                         ": expected w/NAME.png with l/NAME.png, or NAME.png with "
                         "NAME-rejectedlabel.png, found no such pair; or name a file of choices");
  return choices;
}

}  // namespace rewards
