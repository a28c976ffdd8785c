#pragma once

// A community's log: who saw, liked or reused which image for which prompt, and when.

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace rewards {

enum class SocialAction { kView, kLike, kReuse };

struct SocialEvent {
  double time = 0;    // seconds since 1970
  int64_t user = 0;   // row of SocialLog::users
  int64_t image = 0;  // row of SocialLog::images
  SocialAction action = SocialAction::kView;
  int64_t position = 0;  // in the list that the user was shown, from 1; 0: unknown
};

// An image with the prompt that it was shown for; with two prompts it is two entries.
struct SocialImage {
  std::filesystem::path file;
  int64_t prompt = 0;  // row of SocialLog::prompts
};

struct SocialLog {
  std::vector<std::string> prompts, users;
  std::vector<SocialImage> images;
  std::vector<SocialEvent> events;  // by time
};

// JSONL, in any order:
//   {"time": 1767225600, "user": "u17", "prompt": "a red circle", "image": "a/12.png",
//    "action": "view", "position": 3}
// `time`: seconds since 1970, or "2026-01-01T00:00:00Z". `action`: view, like or reuse. `position`
// may be absent. Images are relative to the file's folder. Throws BadInput naming the line and the
// key, and for a log without a like or reuse.
SocialLog read_social_log(const std::filesystem::path& path);
// One line of such a file, without the newline.
std::string social_line(const SocialLog& log, const SocialEvent& event);

// Adds views to a log without any: whoever acted on an image of a prompt is assumed to have seen
// just before, at unknown positions, all images of that prompt that the log named so far. A log
// with views is returned unchanged. Throws BadInput where that makes more than ten million
// events.
SocialLog with_views(SocialLog log);

}  // namespace rewards
