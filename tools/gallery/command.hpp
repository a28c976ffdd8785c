#pragma once

#include "tools/cli/command.hpp"

namespace tools {

extern const Command kGallery;  // laurel gallery

}  // namespace tools
