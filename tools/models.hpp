#pragma once

#include <filesystem>

namespace tools {

// The folder of the models that come with laurel (tiny-world/, rewards/): $LAUREL_MODELS, else
// share/laurel/models of an unpacked archive, else models/ of the source tree that the binary was
// built in. Empty when there is none.
std::filesystem::path embedded_models();

}  // namespace tools
