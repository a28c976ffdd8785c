#pragma once

#include <filesystem>
#include <string>

namespace tools {

// The folder of the models that come with laurel (tiny-world/, rewards/): $LAUREL_MODELS, else
// share/laurel/models of an unpacked archive, else models/ of the source tree that the binary was
// built in. Empty when there is none.
std::filesystem::path embedded_models();

// The checkpoint to use: `named`, or the embedded world's when it is "". Throws BadInput when that
// is not found.
std::filesystem::path checkpoint_folder(const std::string& named);

}  // namespace tools
