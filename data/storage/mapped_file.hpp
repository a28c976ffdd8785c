#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <filesystem>
#include <memory>
#include <vector>

namespace data {

// A file mapped privately: pages are read when they are touched, and writing to them does not
// change the file.
struct MappedFile {
  MappedFile() = default;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();
  char* bytes = nullptr;
  size_t size = 0;
};

// Throws BadInput when the file is missing, a folder, empty, or cannot be read. `kind` names what
// was expected in the message: "a safetensors file".
std::shared_ptr<MappedFile> map_file(const std::filesystem::path& path, const char* kind);

// Whether tensors of this shape can be: no negative size, at most 64 axes, and fewer than 2^60
// bytes even where an axis of size 0 is left out.
bool possible_shape(const std::vector<int64_t>& shape);

// A tensor at byte `offset` of the file. It keeps the file mapped. Where the address is not aligned
// for the type, the tensor is a copy. The caller must check that the bytes are inside the file.
at::Tensor mapped_tensor(const std::shared_ptr<MappedFile>& file,
                         size_t offset,
                         const std::vector<int64_t>& shape,
                         const std::vector<int64_t>& strides,
                         at::ScalarType type);

// Releases the pages of a mapped tensor that will not be read again; if it is, they are read from
// the file again. No effect on other tensors, nor on pages that were written to.
void drop_pages(const at::Tensor& tensor);

// Strides of a contiguous tensor: [2, 3, 4] -> [12, 4, 1]
std::vector<int64_t> contiguous_strides(const std::vector<int64_t>& shape);

}  // namespace data
