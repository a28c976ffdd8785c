#include "data/storage/mapped_file.hpp"

#include <ATen/ATen.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "data/base/error.hpp"

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
    throw BadInput(path.string() + ": expected " + kind + ", found 0 bytes; copy it again");
  }
  void* bytes = ::mmap(nullptr, mapping->size, PROT_READ | PROT_WRITE, MAP_PRIVATE, descriptor, 0);
  const int map_error = errno;
  ::close(descriptor);
  if (bytes == MAP_FAILED)
    throw BadInput(path.string() + ": cannot be mapped: " + std::strerror(map_error));
  mapping->bytes = static_cast<char*>(bytes);
  return mapping;
}

namespace {

// The context of a mapped tensor's storage: keeps the file mapped.
struct Hold {
  std::shared_ptr<MappedFile> file;
};
void release(void* hold) { delete static_cast<Hold*>(hold); }

// Among the pages that these bytes touch, those that still belong to the file. Pages that were
// written to are private copies and stay (proc(5), pagemap: bit 61 tells file pages from copies,
// bit 63 says that the page is mapped).
void drop_file_pages(const char* bytes, size_t size) {
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const uintptr_t first = reinterpret_cast<uintptr_t>(bytes) / page;
  const uintptr_t last = (reinterpret_cast<uintptr_t>(bytes) + size + page - 1) / page;
  std::vector<uint64_t> entries(last - first);
  const int descriptor = ::open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return;
  const auto wanted = static_cast<ssize_t>(entries.size() * sizeof(uint64_t));
  const ssize_t read = ::pread(descriptor, entries.data(), static_cast<size_t>(wanted),
                               static_cast<off_t>(first * sizeof(uint64_t)));
  ::close(descriptor);
  if (read != wanted) return;
  const auto of_file = [&](size_t i) { return (entries[i] >> 61 & 1) && (entries[i] >> 63 & 1); };
  for (size_t i = 0, end = 0; i < entries.size(); i = end + 1) {
    for (end = i; end < entries.size() && of_file(end);) ++end;
    if (end > i)
      ::madvise(reinterpret_cast<void*>((first + i) * page), (end - i) * page, MADV_DONTNEED);
  }
}

// Elements from the first to the last, gaps included; 0 for an empty tensor.
int64_t span_of(const std::vector<int64_t>& shape, const std::vector<int64_t>& strides) {
  int64_t last = 0;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] == 0) return 0;
    last += (shape[i] - 1) * strides[i];
  }
  return last + 1;
}

}  // namespace

bool possible_shape(const std::vector<int64_t>& shape) {
  constexpr size_t kMostAxes = 64;
  constexpr __int128 kMostValues = __int128{1} << 56;  // of up to 16 bytes
  __int128 values = 1;
  for (const int64_t size : shape) {
    if (size < 0) return false;
    values *= std::max<int64_t>(size, 1);
    if (values > kMostValues) return false;
  }
  return shape.size() <= kMostAxes;
}

at::Tensor mapped_tensor(const std::shared_ptr<MappedFile>& file,
                         size_t offset,
                         const std::vector<int64_t>& shape,
                         const std::vector<int64_t>& strides,
                         at::ScalarType type) {
  char* bytes = file->bytes + offset;
  const auto options = at::TensorOptions().dtype(type);
  const int64_t span = span_of(shape, strides);
  if (span == 0) return at::empty(shape, options);
  const size_t size = static_cast<size_t>(span) * at::elementSize(type);
  if (reinterpret_cast<uintptr_t>(bytes) % at::elementSize(type) == 0) {
    auto* hold = new Hold{.file = file};
    const c10::Storage storage(c10::Storage::use_byte_size_t(), size,
                               at::DataPtr(bytes, hold, release, at::kCPU), nullptr, false);
    return at::empty({0}, options).set_(storage, 0, shape, strides);
  }
  const at::Tensor copy = at::empty({span}, options);
  std::memcpy(copy.data_ptr(), bytes, size);
  return copy.as_strided(shape, strides);
}

void drop_pages(const at::Tensor& tensor) {
  if (!tensor.has_storage()) return;
  const auto& storage = tensor.storage();
  if (storage.data_ptr().get_deleter() != release) return;
  const MappedFile& file = *static_cast<const Hold*>(storage.data_ptr().get_context())->file;
  const auto offset = static_cast<size_t>(static_cast<const char*>(storage.data()) - file.bytes);
  // Neighbouring pages are mapped too: Linux maps large folios as a whole.
  constexpr size_t kFolio = 2 << 20;
  const size_t begin = offset < kFolio ? 0 : offset - kFolio;
  const size_t end = std::min(file.size, offset + storage.nbytes() + kFolio);
  drop_file_pages(file.bytes + begin, end - begin);
}

std::vector<int64_t> contiguous_strides(const std::vector<int64_t>& shape) {
  std::vector<int64_t> strides(shape.size(), 1);
  for (size_t i = shape.size(); i-- > 1;)
    strides[i - 1] = strides[i] * std::max<int64_t>(shape[i], 1);
  return strides;
}

}  // namespace data
