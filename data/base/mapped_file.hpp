#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <filesystem>
#include <memory>
#include <vector>

namespace data {

// A file mapped privately: pages are read when touched, writing to them never changes the file.
struct MappedFile {
  MappedFile() = default;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();
  char* bytes = nullptr;
  size_t size = 0;
};

// Throws BadInput when the file is missing, a folder, empty, or cannot be read. `kind` is what was
// expected, for the message: "a safetensors file".
std::shared_ptr<MappedFile> map_file(const std::filesystem::path& path, const char* kind);

// A tensor at byte `offset` of the file, which it keeps mapped; a copy where the address does not
// suit the type. The caller has checked that the bytes are inside.
at::Tensor mapped_tensor(const std::shared_ptr<MappedFile>& file,
                         size_t offset,
                         const std::vector<int64_t>& shape,
                         const std::vector<int64_t>& strides,
                         at::ScalarType type);

// Lets the system take back the pages of a mapped tensor that will not be read again; they are read
// anew if it is. No effect on tensors of no file, nor on what has been written to.
void drop_pages(const at::Tensor& tensor);

// Strides of a contiguous tensor: [2, 3, 4] -> [12, 4, 1]
std::vector<int64_t> contiguous_strides(const std::vector<int64_t>& shape);

}  // namespace data
