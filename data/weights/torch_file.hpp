#pragma once

#include <filesystem>

#include "data/weights/tensor_map.hpp"

namespace data {

// Reads the tensors of a file that torch.save wrote (.ckpt, .pt, .pth, .bin) without running
// anything in it (see data/weights/pickle.hpp). Names of nested dictionaries are joined by dots;
// what is no tensor is passed over. Of a TorchScript archive (torch.jit.save) the modules' tensors
// are taken, by the names of Python's state_dict(). A dictionary called state_dict is taken alone,
// as trainers keep their own things beside it. The tensors are views of the file, mapped privately.
// Throws BadInput when the file is no zip archive as torch has written since 1.6, is damaged, holds
// names that are refused, or a tensor that leaves its storage.
Weights read_torch_file(const std::filesystem::path& path);

}  // namespace data
