#include "finetune/policy/kept_trajectories.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/base/format.hpp"
#include "data/base/numbers.hpp"
#include "data/storage/replace_folder.hpp"
#include "finetune/run/checkpoint_files.hpp"

namespace fs = std::filesystem;

namespace finetune {
namespace {

constexpr std::string_view kEpoch = "epoch-";  // and its number

// The epoch whose folder has this name; none: it is no epoch's, such as one that is half written.
std::optional<int64_t> epoch_of(const std::string& name) {
  if (!name.starts_with(kEpoch)) return std::nullopt;
  return data::number_of<int64_t>(std::string_view(name).substr(kEpoch.size()));
}

}  // namespace

void keep_epoch(const fs::path& run,
                int64_t epoch,
                const KeptTrajectories& keep,
                const EpochStates& states) {
  if (keep.epochs == 0) return;
  const fs::path folder = run / "trajectories",
                 path = folder / data::formatted("epoch-%05lld", static_cast<long long>(epoch)),
                 temporary = path.string() + ".tmp";
  fs::remove_all(temporary);
  fs::create_directories(temporary);
  keep.write(temporary, states);
  data::replace_folder(temporary, path);
  std::vector<fs::path> others;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const auto found = epoch_of(entry.path().filename().string());
    if (!found || *found > epoch || *found <= epoch - keep.epochs) others.push_back(entry.path());
  }
  for (const auto& other : others) remove_checkpoint(other);
}

}  // namespace finetune
