#include "rewards/social/log.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <ctime>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/json.hpp"

namespace fs = std::filesystem;
using data::BadInput;
using nlohmann::json;

namespace rewards {
namespace {

constexpr std::array<const char*, 3> kActions = {"view", "like", "reuse"};

// Numbers distinct texts in order of appearance.
class TextRows {
 public:
  explicit TextRows(std::vector<std::string>& texts) : texts_(texts) {}
  int64_t of(const std::string& text) {
    const auto [found, fresh] = rows_.emplace(text, static_cast<int64_t>(texts_.size()));
    if (fresh) texts_.push_back(text);
    return found->second;
  }

 private:
  std::vector<std::string>& texts_;
  std::map<std::string, int64_t> rows_;
};

const std::string& entry_text(const json& line, const char* key, const std::string& where) {
  const auto found = line.find(key);
  if (found == line.end() || !found->is_string() || found->get_ref<const std::string&>().empty())
    throw BadInput(where + ": " + key + ": expected a text, found " +
                   (found == line.end() ? "nothing" : data::to_text(*found)));
  return found->get_ref<const std::string&>();
}

double time_of(const json& line, const std::string& where) {
  const auto found = line.find("time");
  if (found != line.end() && found->is_number()) return found->get<double>();
  std::tm parts{};
  char rest = 0;
  const bool date = found != line.end() && found->is_string() &&
                    std::sscanf(found->get_ref<const std::string&>().c_str(), "%d-%d-%dT%d:%d:%d%c",
                                &parts.tm_year, &parts.tm_mon, &parts.tm_mday, &parts.tm_hour,
                                &parts.tm_min, &parts.tm_sec, &rest) >= 6;
  if (!date) {
    throw BadInput(where +
                   ": time: expected seconds since 1970 or \"2026-01-01T00:00:00Z\", found " +
                   (found == line.end() ? "nothing" : data::to_text(*found)));
  }
  if (parts.tm_year < 1 || parts.tm_year > 9999 || parts.tm_mon < 1 || parts.tm_mon > 12)
    throw BadInput(where + ": time: expected a date of the years 1 to 9999, found " +
                   data::to_text(*found));
  parts.tm_year -= 1900;
  parts.tm_mon -= 1;
  return static_cast<double>(timegm(&parts));
}

SocialAction action_of(const json& line, const std::string& where) {
  const std::string& name = entry_text(line, "action", where);
  const auto found = std::find(kActions.begin(), kActions.end(), name);
  if (found == kActions.end())
    throw BadInput(where + ": action: expected view, like or reuse, found '" + name + "'");
  return static_cast<SocialAction>(found - kActions.begin());
}

int64_t position_of(const json& line, const std::string& where) {
  const auto found = line.find("position");
  if (found == line.end() || found->is_null()) return 0;
  if (!found->is_number_integer() || found->get<int64_t>() < 1)
    throw BadInput(where + ": position: expected a whole number from 1, found " +
                   data::to_text(*found));
  return found->get<int64_t>();
}

}  // namespace

SocialLog read_social_log(const fs::path& path) {
  SocialLog log;
  TextRows prompts(log.prompts), users(log.users);
  std::map<std::pair<std::string, int64_t>, int64_t> images;
  bool acted = false;
  const auto take = [&](const std::string& text, const std::string& where) {
    const json line = data::parse_json_object(text, where);
    const int64_t prompt = prompts.of(entry_text(line, "prompt", where));
    const std::string& file = entry_text(line, "image", where);
    const auto [image, fresh] =
        images.emplace(std::pair(file, prompt), static_cast<int64_t>(log.images.size()));
    if (fresh) log.images.push_back({path.parent_path() / file, prompt});
    log.events.push_back({.time = time_of(line, where),
                          .user = users.of(entry_text(line, "user", where)),
                          .image = image->second,
                          .action = action_of(line, where),
                          .position = position_of(line, where)});
    acted |= log.events.back().action != SocialAction::kView;
  };
  const int64_t number = data::for_each_line(path, take);
  if (!acted)
    throw BadInput(path.string() + ": expected likes or reuses, found none in " +
                   std::to_string(number) + " lines");
  std::stable_sort(log.events.begin(), log.events.end(),
                   [](const SocialEvent& a, const SocialEvent& b) { return a.time < b.time; });
  return log;
}

std::string social_line(const SocialLog& log, const SocialEvent& event) {
  const SocialImage& image = log.images.at(static_cast<size_t>(event.image));
  nlohmann::ordered_json line{{"time", event.time},
                              {"user", log.users.at(static_cast<size_t>(event.user))},
                              {"prompt", log.prompts.at(static_cast<size_t>(image.prompt))},
                              {"image", image.file.string()},
                              {"action", kActions[static_cast<size_t>(event.action)]}};
  if (event.position > 0) line["position"] = event.position;
  return data::to_text(line);
}

namespace {

// How many views with_views would add.
size_t assumed_views(const SocialLog& log) {
  std::vector<size_t> known(log.prompts.size());
  std::set<int64_t> named;
  size_t views = 0;
  for (const SocialEvent& event : log.events) {
    size_t& images =
        known[static_cast<size_t>(log.images[static_cast<size_t>(event.image)].prompt)];
    images += named.insert(event.image).second;
    views += images;
  }
  return views;
}

}  // namespace

SocialLog with_views(SocialLog log) {
  const auto is_view = [](const SocialEvent& event) { return event.action == SocialAction::kView; };
  if (std::any_of(log.events.begin(), log.events.end(), is_view)) return log;
  constexpr size_t kMostViews = 10'000'000;
  if (const size_t views = assumed_views(log); views > kMostViews)
    throw BadInput("log: expected views in a log of so many images a prompt, found none, and " +
                   std::to_string(views) + " would have to be assumed; log them");
  std::vector<std::vector<int64_t>> known(log.prompts.size());  // the images of each prompt so far
  std::set<int64_t> named;
  std::vector<SocialEvent> events;
  for (const SocialEvent& event : log.events) {
    auto& images = known[static_cast<size_t>(log.images[static_cast<size_t>(event.image)].prompt)];
    if (named.insert(event.image).second) images.push_back(event.image);
    for (const int64_t image : images)
      events.push_back({.time = event.time, .user = event.user, .image = image});
    events.push_back(event);
  }
  log.events = std::move(events);
  return log;
}

}  // namespace rewards
