#include "data/mapped_file.hpp"

#include <ATen/ATen.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "data/error.hpp"

namespace data {

namespace fs = std::filesystem;

MappedFile::~MappedFile() {
  if (bytes) ::munmap(bytes, size);
}

std::shared_ptr<MappedFile> map_file(const fs::path& path, const char* kind) {
  std::error_code error;
  if (!fs::exists(path, error)) throw BadInput(path.string() + ": no such file; check the path");
  if (fs::is_directory(path, error))
    throw BadInput(path.string() + ": expected " + kind + ", found a folder");
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) throw BadInput(path.string() + ": cannot be read: " + std::strerror(errno));
  struct stat status {};
  ::fstat(descriptor, &status);
  auto mapping = std::make_shared<MappedFile>();
  mapping->size = static_cast<size_t>(status.st_size);
  if (mapping->size == 0) {
    ::close(descriptor);
    throw BadInput(path.string() + ": expected " + kind +
                   ", found 0 bytes; it may not have been copied whole");
  }
  void* bytes = ::mmap(nullptr, mapping->size, PROT_READ | PROT_WRITE, MAP_PRIVATE, descriptor, 0);
  const int map_error = errno;
  ::close(descriptor);
  if (bytes == MAP_FAILED)
    throw BadInput(path.string() + ": cannot be mapped: " + std::strerror(map_error));
  mapping->bytes = static_cast<char*>(bytes);
  return mapping;
}

at::Tensor mapped_tensor(const std::shared_ptr<MappedFile>& file,
                         size_t offset,
                         const std::vector<int64_t>& shape,
                         const std::vector<int64_t>& strides,
                         at::ScalarType type) {
  char* bytes = file->bytes + offset;
  const auto options = at::TensorOptions().dtype(type);
  if (reinterpret_cast<uintptr_t>(bytes) % at::elementSize(type) == 0)
    return at::from_blob(
        bytes, shape, strides, [file](void*) {}, options);
  int64_t last = 0;  // element
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] == 0) return at::empty(shape, options);
    last += (shape[i] - 1) * strides[i];
  }
  const at::Tensor storage = at::empty({last + 1}, options);
  std::memcpy(storage.data_ptr(), bytes, static_cast<size_t>(last + 1) * at::elementSize(type));
  return storage.as_strided(shape, strides);
}

std::vector<int64_t> contiguous_strides(const std::vector<int64_t>& shape) {
  std::vector<int64_t> strides(shape.size(), 1);
  for (size_t i = shape.size(); i-- > 1;)
    strides[i - 1] = strides[i] * std::max<int64_t>(shape[i], 1);
  return strides;
}

}  // namespace data
