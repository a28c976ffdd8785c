#include "tools/studio/store/check.hpp"

#include <filesystem>

#include "tools/studio/store/images.hpp"

namespace studio {
namespace {

constexpr size_t kMostMissing = 10;  // that are named

std::vector<std::string> missing_pictures(data::Database& store) {
  std::vector<std::string> missing;
  size_t more = 0;
  std::error_code error;
  for (const auto& image : stored_images(store)) {
    if (std::filesystem::exists(image.path, error)) continue;
    if (missing.size() < kMostMissing)
      missing.push_back(image.path.string() + ": is missing");
    else
      ++more;
  }
  if (more > 0) missing.push_back(std::to_string(more) + " more pictures are missing");
  return missing;
}

}  // namespace

StoreCheck check_store(data::Database& store) {
  const auto count = [&](const char* sql) { return std::to_string(store.number(sql)); };
  StoreCheck found{.summary = count("SELECT count(*) FROM person") + " people, " +
                              count("SELECT count(*) FROM image") + " pictures, " +
                              count("SELECT count(*) FROM standing") + " answers that stand",
                   .faults = data::faults_in(store)};
  const int64_t strays = store.number(
      "SELECT count(*) FROM vote JOIN vote AS earlier ON earlier.id = vote.supersedes WHERE "
      "earlier.pair <> vote.pair OR earlier.id >= vote.id");
  if (strays > 0)
    found.faults.push_back(std::to_string(strays) + " answers supersede others' ones");
  for (auto& line : missing_pictures(store)) found.faults.push_back(std::move(line));
  return found;
}

}  // namespace studio
