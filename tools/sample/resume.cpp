#include "tools/sample/resume.hpp"

#include <filesystem>
#include <set>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/strings.hpp"
#include "data/images/captions.hpp"
#include "data/unicode/utf8.hpp"

using data::BadInput;
namespace fs = std::filesystem;

namespace tools {
namespace {

const std::set<std::string> kFreeKeys = {"resume", "device", "max_memory", "vae_slicing"};

bool is_finished(const fs::path& image, const SampleJob& job) {
  if (!fs::exists(image)) return false;
  const std::string& wanted = job.loras.empty() ? job.prompt.text : job.written_prompt;
  const data::Caption found = data::caption_in_png(image);
  if (found.text == wanted) return true;
  throw BadInput(image.string() + ": expected an image of the prompt '" +
                 data::shortened(wanted, 60) + "', found " +
                 (found.text.empty() ? "none" : "'" + data::shortened(found.text, 60) + "'") +
                 "; resume with the same prompts, or choose another folder");
}

}  // namespace

std::vector<bool> finished_jobs(const std::string& folder,
                                const std::vector<SampleJob>& jobs,
                                int64_t best_of) {
  std::vector<bool> finished;
  for (size_t job = 0; job < jobs.size(); ++job) {
    bool is = false;
    for (int64_t i = 0; i < best_of && !is; ++i) {
      const uint64_t seed = jobs[job].seed + static_cast<uint64_t>(i);
      is = is_finished(fs::path(folder) / image_name(static_cast<int64_t>(job), seed), jobs[job]);
    }
    finished.push_back(is);
  }
  return finished;
}

void check_same_settings(const std::string& folder, const std::string& settings) {
  const fs::path file = fs::path(folder) / "config.toml";
  if (!fs::exists(file)) return;
  const auto before = data::values_by_key(data::read_file(file));
  for (const auto& [key, value] : data::values_by_key(settings)) {
    const auto found = before.find(key);
    if (kFreeKeys.contains(key) || found == before.end() || found->second == value) continue;
    throw BadInput("--resume: " + key + ": expected " + data::shortened(found->second, 60) +
                   " as in " + file.string() + ", found " + data::shortened(value, 60) +
                   "; resume with the same settings, or choose another folder");
  }
}

}  // namespace tools
