#pragma once

// Choices that the names of files make.

#include <filesystem>

#include "rewards/pairs/choices.hpp"

namespace rewards {

// Either of:
//   w/NAME.png is preferred to l/NAME.png       kohya's sd-scripts; endings may differ
//   NAME.png to NAME-rejectedlabel.png          OneTrainer, all in one folder
// The prompt is the caption of the preferred image (data/images/captions.hpp), else that of the
// other, else "". An image without its counterpart is named in left_out. Throws BadInput when the
// folder holds neither, and for a caption that cannot be read.
Choices choices_in_folder(const std::filesystem::path& folder);

}  // namespace rewards
