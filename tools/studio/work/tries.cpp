#include "tools/studio/work/tries.hpp"

#include <nlohmann/json.hpp>
#include <optional>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "data/base/numbers.hpp"
#include "data/base/strings.hpp"
#include "data/images/image_files.hpp"
#include "tools/studio/work/run_view.hpp"

namespace fs = std::filesystem;
using nlohmann::ordered_json;

namespace studio {
namespace {

constexpr size_t kMostTries = 12;  // that are shown

// The address of the picture in a folder; null: it is not drawn yet.
ordered_json drawn_in(const fs::path& folder, Pictures& pictures) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (data::is_image_name(entry.path())) return address_of(entry.path(), pictures);
  }
  return nullptr;
}

ordered_json step_of_try(const fs::path& folder) {
  try {
    const auto step = data::number_of<int64_t>(data::trimmed(data::read_file(folder / kStepFile)));
    return step ? ordered_json(*step) : ordered_json(nullptr);
  } catch (const data::BadInput&) {
    return nullptr;
  }
}

}  // namespace

ordered_json tries_json(const std::vector<StoredJob>& all,
                        int64_t training,
                        const Workshop& workshop,
                        Pictures& pictures) {
  ordered_json tries = ordered_json::array();
  for (const auto& job : all) {
    if (job.kind != kTry || tries.size() >= kMostTries) continue;
    const JobRequest request = job_request(data::parse_json(job.request));
    if (request.of != training) continue;
    const fs::path folder = workshop.folder_of(job);
    tries.push_back({{"job", job.id},
                     {"state", job.state},
                     {"note", job.note},
                     {"prompt", request.prompt},
                     {"seed", request.seed},
                     {"step", step_of_try(folder)},
                     {"base", drawn_in(folder / kBaseFolder, pictures)},
                     {"tuned", drawn_in(folder / kTunedFolder, pictures)}});
  }
  return tries;
}

}  // namespace studio
