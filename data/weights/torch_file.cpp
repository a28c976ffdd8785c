#include "data/weights/torch_file.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <vector>

#include "data/base/error.hpp"
#include "data/storage/mapped_file.hpp"
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

// Of a storage ("FloatStorage") or a tensor ("float32"); the bytes where there is no such type
// here.
at::ScalarType number_type(const std::string& name) {
  static const std::map<std::string, at::ScalarType> types{
      {"DoubleStorage", at::kDouble},
      {"FloatStorage", at::kFloat},
      {"HalfStorage", at::kHalf},
      {"BFloat16Storage", at::kBFloat16},
      {"LongStorage", at::kLong},
      {"IntStorage", at::kInt},
      {"ShortStorage", at::kShort},
      {"CharStorage", at::kChar},
      {"ByteStorage", at::kByte},
      {"BoolStorage", at::kBool},
      {"ComplexFloatStorage", at::kComplexFloat},
      {"ComplexDoubleStorage", at::kComplexDouble},
      {"float64", at::kDouble},
      {"double", at::kDouble},
      {"float32", at::kFloat},
      {"float", at::kFloat},
      {"float16", at::kHalf},
      {"half", at::kHalf},
      {"bfloat16", at::kBFloat16},
      {"int64", at::kLong},
      {"int32", at::kInt},
      {"int16", at::kShort},
      {"int8", at::kChar},
      {"uint8", at::kByte},
      {"uint16", at::kUInt16},
      {"uint32", at::kUInt32},
      {"uint64", at::kUInt64},
      {"bool", at::kBool},
      {"complex64", at::kComplexFloat},
      {"complex128", at::kComplexDouble},
      {"float8_e4m3fn", at::kFloat8_e4m3fn},
      {"float8_e5m2", at::kFloat8_e5m2}};
  const auto found = types.find(name);
  return found == types.end() ? at::kByte : found->second;
}

// One past the last element that the tensor reaches in its storage; 0: none.
__int128 reach(const PickleTensor& tensor) {
  __int128 last = tensor.offset;
  for (size_t i = 0; i < tensor.shape.size(); ++i) {
    if (tensor.shape[i] == 0) return 0;
    last += static_cast<__int128>(tensor.shape[i] - 1) * tensor.strides[i];
  }
  return last + 1;
}

// The tensors of an archive as they are collected.
struct TensorCollection {
  const Archive& archive;
  const std::string& prefix;
  Weights weights{};
  std::vector<const PickleValue*> path{};  // the dictionaries around the present value
  int64_t visited = 0;
  __int128 bytes = 0;  // of all tensors
  size_t letters = 0;  // of all their names
};

void add_tensor(TensorCollection& all, const std::string& name, const PickleTensor& tensor) {
  const Archive& archive = all.archive;
  const auto member = archive.members.find(all.prefix + "data/" + tensor.storage.key);
  if (member == archive.members.end())
    archive.damaged("tensor " + name + ": its bytes are missing");
  const bool sound =
      tensor.shape.size() == tensor.strides.size() && tensor.offset >= 0 &&
      possible_shape(tensor.shape) &&
      std::all_of(tensor.strides.begin(), tensor.strides.end(), [](int64_t s) { return s >= 0; });
  if (!sound) archive.damaged("tensor " + name + ": impossible shape");
  const at::ScalarType type = number_type(tensor.type.empty() ? tensor.storage.type : tensor.type);
  const auto width = static_cast<__int128>(at::elementSize(type));
  const __int128 end = reach(tensor) * width;
  if (end > static_cast<__int128>(member->second.size))
    archive.damaged("tensor " + name + " leaves its storage");
  __int128 values = 1;
  for (const int64_t size : tensor.shape) values *= size;
  all.bytes += values * width;
  // Strides of 0 repeat values: a small file could ask for any memory.
  if (all.bytes > 16 * static_cast<__int128>(archive.file->size) + (1 << 26))
    archive.damaged("tensor " + name + ": impossible shape, of more values than the file holds");
  if (end == 0) {
    all.weights.tensors[name] = at::empty(tensor.shape, type);
    return;
  }
  all.weights.tensors[name] = mapped_tensor(
      archive.file, member->second.offset + static_cast<size_t>(tensor.offset * width),
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

// torch's own dictionaries within a module, which Python's state_dict() leaves out of names.
bool is_inner(const std::string& key) {
  return key == "_parameters" || key == "_buffers" || key == "_modules";
}

void collect(TensorCollection& all, const std::string& name, const PickleRef& value) {
  constexpr size_t kDeepest = 16, kLongestKey = 1000, kMostTensors = 200'000;
  constexpr size_t kMostLetters = size_t{64} << 20;
  constexpr int64_t kMostVisits = 1'000'000;
  if (++all.visited > kMostVisits)
    all.archive.damaged("its dictionaries hold each other a million times");
  const auto* module = std::get_if<PickleModule>(&value->value);
  const auto* dict = module ? &module->attributes : std::get_if<PickleDict>(&value->value);
  if (const auto* tensor = std::get_if<PickleTensor>(&value->value)) {
    all.letters += name.size();
    if (all.letters > kMostLetters || all.weights.tensors.size() >= kMostTensors)
      all.archive.damaged("its dictionaries name more tensors than a checkpoint holds");
    add_tensor(all, name, *tensor);
    return;
  }
  const bool again = std::find(all.path.begin(), all.path.end(), value) != all.path.end();
  if (!dict || again || all.path.size() >= kDeepest) return;
  all.path.push_back(value);
  for (const auto& [key, item] : *dict) {
    const std::string inner = key_text(key);
    if (inner.size() > kLongestKey) continue;
    const bool joined = name.empty() || (module && is_inner(inner));
    collect(all, joined ? (name.empty() ? inner : name) : name + "." + inner, item);
  }
  all.path.pop_back();
}

}  // namespace

Weights read_torch_file(const fs::path& path) {
  const Archive archive = open_archive(path);
  const std::string prefix = archive_prefix(archive);
  const Member& pickle = archive.members.at(prefix + "data.pkl");
  const Pickle values =
      read_pickle({archive.file->bytes + pickle.offset, pickle.size}, archive.source);
  PickleRef root = values.root;
  if (const auto* dict = std::get_if<PickleDict>(&root->value)) {
    const PickleRef* inner = find(*dict, "state_dict");
    if (inner && std::holds_alternative<PickleDict>((*inner)->value)) root = *inner;
  }
  TensorCollection all{archive, prefix};
  collect(all, "", root);
  all.weights.source = archive.source;
  if (all.weights.tensors.empty()) {
    throw BadInput(archive.source + ": expected tensors by name, found none; " +
                   "a checkpoint holds a dictionary of them (a state_dict)");
  }
  return std::move(all.weights);
}

}  // namespace data
