#include "data/weights/torch_file.hpp"

#include <ATen/ATen.h>

#include <cstring>
#include <map>

#include "data/base/error.hpp"
#include "data/base/mapped_file.hpp"
#include "data/weights/pickle.hpp"

namespace data {
namespace {

namespace fs = std::filesystem;

// An uncompressed file inside the archive.
struct Member {
  size_t offset = 0, size = 0;  // bytes
};

// A zip archive's directory (PKWARE's APPNOTE, 4.3), which torch.save writes without compression.
struct Archive {
  std::shared_ptr<MappedFile> file;
  std::string source;
  std::map<std::string, Member> members;

  [[noreturn]] void damaged(const std::string& what) const {
    throw BadInput(source + ": " + what + "; the file is damaged or cut off, copy it again");
  }
  template <class T>
  T number(size_t offset) const {
    if (offset > file->size || file->size - offset < sizeof(T))
      damaged("the archive's directory leaves the file");
    T value;
    std::memcpy(&value, file->bytes + offset, sizeof(T));
    return value;
  }
  bool has_signature(size_t offset, uint32_t signature) const {
    return offset <= file->size && file->size - offset >= 4 &&
           number<uint32_t>(offset) == signature;
  }
};

constexpr uint32_t kLocal = 0x04034b50, kCentral = 0x02014b50, kEnd = 0x06054b50,
                   kEnd64 = 0x06064b50, kEnd64Locator = 0x07064b50;
constexpr size_t kEndSize = 22, kLocatorSize = 20, kMaxComment = 65535;

struct Directory {
  size_t offset = 0, entries = 0;
};

Directory find_directory(const Archive& archive) {
  const size_t size = archive.file->size;
  for (size_t back = kEndSize; back <= std::min(size, kEndSize + kMaxComment); ++back) {
    const size_t end = size - back;
    if (!archive.has_signature(end, kEnd)) continue;
    if (end < kLocatorSize || !archive.has_signature(end - kLocatorSize, kEnd64Locator))
      return {archive.number<uint32_t>(end + 16), archive.number<uint16_t>(end + 10)};
    const auto end64 = archive.number<uint64_t>(end - kLocatorSize + 8);
    if (!archive.has_signature(end64, kEnd64)) archive.damaged("the archive's end is not there");
    return {archive.number<uint64_t>(end64 + 48), archive.number<uint64_t>(end64 + 32)};
  }
  archive.damaged("the archive's directory is not there");
}

// Sizes and offsets beyond 32 bits stand in an extra field, in this order, where the entry has -1.
void read_wide(const Archive& archive, size_t extra, size_t end, Member& member, size_t& local) {
  constexpr uint32_t kWide = 0xffffffff;
  constexpr uint16_t kZip64 = 1;
  while (extra + 4 <= end) {
    const auto id = archive.number<uint16_t>(extra);
    const auto length = archive.number<uint16_t>(extra + 2);
    size_t field = extra + 4;
    extra = field + length;
    if (id != kZip64) continue;
    if (member.size == kWide) {
      member.size = archive.number<uint64_t>(field);
      field += 16;  // the packed size comes second and is the same
    }
    if (local == kWide) local = archive.number<uint64_t>(field);
  }
}

Archive open_archive(const fs::path& path) {
  Archive archive{map_file(path, "a file of torch.save"), path.string(), {}};
  if (!archive.has_signature(0, kLocal)) {
    throw BadInput(archive.source +
                   ": expected a zip archive, as torch.save writes since 1.6, found another " +
                   "format; load and save it again with a newer torch, or use .safetensors");
  }
  const Directory directory = find_directory(archive);
  size_t at = directory.offset;
  for (size_t i = 0; i < directory.entries; ++i) {
    if (!archive.has_signature(at, kCentral))
      archive.damaged("an entry of the directory is broken");
    const size_t name_size = archive.number<uint16_t>(at + 28);
    const size_t extra_size = archive.number<uint16_t>(at + 30);
    const size_t next = at + 46 + name_size + extra_size + archive.number<uint16_t>(at + 32);
    if (next > archive.file->size) archive.damaged("the archive's directory leaves the file");
    const std::string name(archive.file->bytes + at + 46, name_size);
    Member member{0, archive.number<uint32_t>(at + 24)};
    size_t local = archive.number<uint32_t>(at + 42);
    read_wide(archive, at + 46 + name_size, next, member, local);
    const bool packed = archive.number<uint16_t>(at + 10) != 0;
    if (packed && name.find("/code/") != std::string::npos) {  // TorchScript's; never looked at
      at = next;
      continue;
    }
    if (packed) archive.damaged(name + " is compressed, which torch.save does not do");
    if (!archive.has_signature(local, kLocal)) archive.damaged(name + " is not there");
    member.offset =
        local + 30 + archive.number<uint16_t>(local + 26) + archive.number<uint16_t>(local + 28);
    if (member.offset > archive.file->size || archive.file->size - member.offset < member.size)
      archive.damaged(name + " leaves the file");
    archive.members[name] = member;
    at = next;
  }
  return archive;
}

// "archive/data.pkl" -> "archive/"
std::string archive_prefix(const Archive& archive) {
  constexpr std::string_view kPickle = "data.pkl";
  for (const auto& [name, member] : archive.members) {
    if (name.ends_with(kPickle)) return name.substr(0, name.size() - kPickle.size());
  }
  throw BadInput(archive.source + ": expected data.pkl in the archive, found none; " +
                 "this zip was not written by torch.save");
}

at::ScalarType storage_type(const Archive& archive, const std::string& name) {
  static const std::map<std::string, at::ScalarType> types{
      {"DoubleStorage", at::kDouble},     {"FloatStorage", at::kFloat}, {"HalfStorage", at::kHalf},
      {"BFloat16Storage", at::kBFloat16}, {"LongStorage", at::kLong},   {"IntStorage", at::kInt},
      {"ShortStorage", at::kShort},       {"CharStorage", at::kChar},   {"ByteStorage", at::kByte},
      {"BoolStorage", at::kBool}};
  const auto found = types.find(name);
  if (found == types.end()) archive.damaged("unknown storage type " + name);
  return found->second;
}

at::Tensor make_tensor(const Archive& archive,
                       const std::string& prefix,
                       const std::string& name,
                       const PickleTensor& tensor) {
  const at::ScalarType type = storage_type(archive, tensor.storage.type);
  const auto member = archive.members.find(prefix + "data/" + tensor.storage.key);
  if (member == archive.members.end())
    archive.damaged("tensor " + name + ": its bytes are missing");
  bool sound = tensor.shape.size() == tensor.strides.size() && tensor.offset >= 0;
  bool empty = false;
  __int128 last = tensor.offset;  // element
  for (size_t i = 0; sound && i < tensor.shape.size(); ++i) {
    sound = tensor.shape[i] >= 0 && tensor.strides[i] >= 0;
    empty = empty || tensor.shape[i] == 0;
    last += static_cast<__int128>(tensor.shape[i] - 1) * tensor.strides[i];
  }
  const size_t width = at::elementSize(type);
  if (sound && empty) return at::empty(tensor.shape, type);
  if (!sound ||
      (last + 1) * static_cast<__int128>(width) > static_cast<__int128>(member->second.size))
    archive.damaged("tensor " + name + " leaves its storage");
  return mapped_tensor(archive.file,
                       member->second.offset + static_cast<size_t>(tensor.offset) * width,
                       tensor.shape, tensor.strides, type);
}

const PickleRef* find(const PickleDict& dict, std::string_view key) {
  for (const auto& [name, value] : dict) {
    const auto* text = std::get_if<std::string>(&name->value);
    if (text && *text == key) return &value;
  }
  return nullptr;
}

std::string key_text(const PickleRef& key) {
  if (const auto* text = std::get_if<std::string>(&key->value)) return *text;
  if (const auto* number = std::get_if<int64_t>(&key->value)) return std::to_string(*number);
  return "";
}

void collect(const Archive& archive,
             const std::string& prefix,
             const std::string& name,
             const PickleRef& value,
             int depth,
             Weights& weights) {
  constexpr int kDeepest = 16;
  const auto* module = std::get_if<PickleModule>(&value->value);
  const auto* dict = module ? &module->attributes : std::get_if<PickleDict>(&value->value);
  if (const auto* tensor = std::get_if<PickleTensor>(&value->value)) {
    weights.tensors[name] = make_tensor(archive, prefix, name, *tensor);
  } else if (dict && depth < kDeepest) {
    for (const auto& [key, item] : *dict) {
      const std::string inner = key_text(key);
      collect(archive, prefix, name.empty() ? inner : name + "." + inner, item, depth + 1, weights);
    }
  }
}

}  // namespace

Weights read_torch_file(const fs::path& path) {
  const Archive archive = open_archive(path);
  const std::string prefix = archive_prefix(archive);
  const Member& pickle = archive.members.at(prefix + "data.pkl");
  PickleRef root = read_pickle({archive.file->bytes + pickle.offset, pickle.size}, archive.source);
  if (const auto* dict = std::get_if<PickleDict>(&root->value)) {
    const PickleRef* inner = find(*dict, "state_dict");
    if (inner && std::holds_alternative<PickleDict>((*inner)->value)) root = *inner;
  }
  Weights weights;
  weights.source = archive.source;
  collect(archive, prefix, "", root, 0, weights);
  if (weights.tensors.empty()) {
    throw BadInput(archive.source + ": expected tensors by name, found none; " +
                   "a checkpoint holds a dictionary of them (a state_dict)");
  }
  return weights;
}

}  // namespace data
