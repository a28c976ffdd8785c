#pragma once

#include <string>
#include <vector>

namespace tools {

// `laurel pretrain <model>`: one function per model, each in pretrain_<model>.cpp.
int pretrain_clip(const std::vector<std::string>& arguments);
int pretrain_unet(const std::vector<std::string>& arguments);
int pretrain_vae(const std::vector<std::string>& arguments);

}  // namespace tools
