#include "tests/fuzz/support.hpp"

#include <ATen/ATen.h>
#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <stdexcept>

#include "data/base/error.hpp"

namespace fs = std::filesystem;

namespace fuzz {
namespace {

fs::path temporary_folder() {
  const char* const own = std::getenv("TEST_TMPDIR");  // of a test
  return own == nullptr ? fs::temp_directory_path() : fs::path(own);
}

struct Folder {
  fs::path path = temporary_folder() / ("laurel_fuzz_" + std::to_string(::getpid()));
  Folder() { fs::create_directories(path); }
  ~Folder() {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
};

}  // namespace

void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "fault: %s\n", what);
  std::abort();
}

void attempt(const std::function<void()>& parse) {
  try {
    parse();
  } catch (const data::BadInput& refused) {
    require(refused.what()[0] != '\0', "a refusal without a message");
  }
}

const fs::path& scratch() {
  static const Folder folder;
  return folder.path;
}

// Without data::write_file, whose flush to the disk would be most of a target's time.
fs::path file_of(const std::string& name, std::string_view bytes) {
  fs::path path = scratch() / name;
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (file < 0 || ::write(file, bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size()))
    throw std::runtime_error(path.string() + ": cannot be written");
  ::close(file);
  return path;
}

std::vector<std::string> parts_of(std::string_view input, size_t count) {
  constexpr std::string_view kBetween = "\n%%\n";
  std::vector<std::string> parts;
  while (parts.size() + 1 < count) {
    const size_t end = std::min(input.find(kBetween), input.size());
    parts.emplace_back(input.substr(0, end));
    input.remove_prefix(std::min(end + kBetween.size(), input.size()));
  }
  parts.emplace_back(input);
  return parts;
}

void touch(const at::Tensor& tensor) {
  const at::Tensor copy = tensor.contiguous();
  const auto* bytes = static_cast<const unsigned char*>(copy.const_data_ptr());
  static volatile unsigned char sum = 0;
  for (size_t i = 0; i < copy.nbytes(); ++i) sum = static_cast<unsigned char>(sum + bytes[i]);
}

std::string little_endian(uint64_t value, size_t bytes) {
  std::string text;
  for (size_t i = 0; i < bytes; ++i) text.push_back(static_cast<char>(value >> (8 * i) & 0xFF));
  return text;
}

}  // namespace fuzz
