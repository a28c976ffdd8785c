#include "data/weights/safetensors.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "data/storage/mapped_file.hpp"

using nlohmann::json;
namespace fs = std::filesystem;

namespace data {
namespace {

constexpr uint64_t kMaxHeader = 100'000'000;  // bytes, as in the format's reference reader

struct DtypeName {
  const char* name;
  at::ScalarType type;
};
constexpr DtypeName kDtypes[] = {
    {"F64", at::kDouble},
    {"F32", at::kFloat},
    {"F16", at::kHalf},
    {"BF16", at::kBFloat16},
    {"I64", at::kLong},
    {"I32", at::kInt},
    {"I16", at::kShort},
    {"I8", at::kChar},
    {"U8", at::kByte},
    {"BOOL", at::kBool},
    {"F8_E4M3", at::kFloat8_e4m3fn},
    {"F8_E5M2", at::kFloat8_e5m2},
    {"F8_E4M3FNUZ", at::kFloat8_e4m3fnuz},
    {"F8_E5M2FNUZ", at::kFloat8_e5m2fnuz},
    {"F8_E8M0", at::kFloat8_e8m0fnu},
    {"U64", at::kUInt64},
    {"U32", at::kUInt32},
    {"U16", at::kUInt16},
    {"C64", at::kComplexFloat},
};

struct TensorEntry {
  std::string name;
  at::ScalarType type{};
  std::vector<int64_t> shape;
  uint64_t begin = 0, end = 0;  // bytes from the end of the header
};

[[noreturn]] void damaged(const fs::path& path, const std::string& what) {
  throw BadInput(path.string() + ": " + what +
                 "; the file is damaged or not safetensors, copy it again");
}

json parse_header(const fs::path& path, const MappedFile& mapping, uint64_t& data_begin) {
  uint64_t size = 0;
  std::memcpy(&size, mapping.bytes, 8);  // little endian, as every platform that libtorch supports
  if (size > kMaxHeader)
    damaged(path, "header of " + std::to_string(size) + " bytes (expected at most 100000000)");
  if (size > mapping.size - 8) {
    damaged(path, "header of " + std::to_string(size) + " bytes in a file of " +
                      std::to_string(mapping.size));
  }
  data_begin = 8 + size;
  const json header = parse_json({mapping.bytes + 8, size});
  if (!header.is_object()) damaged(path, "the header is not a JSON object");
  return header;
}

uint64_t whole_number(const fs::path& path, const std::string& name, const json& value) {
  if (!value.is_number_unsigned())
    damaged(path, "tensor " + name + ": expected a whole number, found " + to_text(value));
  return value.get<uint64_t>();
}

// A type without a counterpart here (F4, F6_E2M3, a newer one) becomes its bytes: who needs the
// tensor sees that it holds no floating-point numbers, and the others are read.
TensorEntry parse_entry(const fs::path& path, const std::string& name, const json& value) {
  TensorEntry entry;
  entry.name = name;
  try {
    const auto dtype = value.at("dtype").get<std::string>();
    const auto* known = std::find_if(std::begin(kDtypes), std::end(kDtypes),
                                     [&](auto& d) { return dtype == d.name; });
    for (const json& size : value.at("shape"))
      entry.shape.push_back(static_cast<int64_t>(whole_number(path, name, size)));
    entry.begin = whole_number(path, name, value.at("data_offsets").at(0));
    entry.end = whole_number(path, name, value.at("data_offsets").at(1));
    if (!possible_shape(entry.shape)) damaged(path, "tensor " + name + ": impossible shape");
    entry.type = known == std::end(kDtypes) ? at::kByte : known->type;
    if (known == std::end(kDtypes)) entry.shape = {static_cast<int64_t>(entry.end - entry.begin)};
  } catch (const json::exception&) {
    damaged(path, "tensor " + name + ": expected dtype, shape and data_offsets");
  }
  uint64_t bytes = at::elementSize(entry.type);
  for (const int64_t size : entry.shape) bytes *= static_cast<uint64_t>(size);
  if (entry.begin > entry.end || entry.end - entry.begin != bytes) {
    damaged(path, "tensor " + name + ": expected " + std::to_string(bytes) +
                      " bytes, its offsets hold " + std::to_string(entry.end - entry.begin));
  }
  return entry;
}

// Every byte of the data belongs to exactly one tensor.
void check_layout(const fs::path& path, std::vector<TensorEntry>& entries, uint64_t data_size) {
  std::sort(entries.begin(), entries.end(), [](auto& a, auto& b) {
    return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
  });
  uint64_t next = 0;
  for (const auto& entry : entries) {
    if (entry.end > data_size) {
      damaged(path, "tensor " + entry.name + " ends at byte " + std::to_string(entry.end) + " of " +
                        std::to_string(data_size));
    }
    if (entry.begin < next) damaged(path, "tensor " + entry.name + " overlaps another");
    if (entry.begin > next) damaged(path, "unused bytes before tensor " + entry.name);
    next = entry.end;
  }
  if (next != data_size)
    damaged(path, std::to_string(data_size - next) + " unused bytes at the end");
}

}  // namespace

Weights read_safetensors(const fs::path& path) {
  const auto mapping = map_file(path, "a safetensors file");
  if (mapping->size < 8) {
    throw BadInput(
        path.string() + ": " + std::to_string(mapping->size) +
        " bytes is no safetensors file (expected at least 8); it may not have been copied whole");
  }
  uint64_t data_begin = 0;
  const json header = parse_header(path, *mapping, data_begin);
  Weights weights;
  weights.source = path.string();
  std::vector<TensorEntry> entries;
  for (const auto& [name, value] : header.items()) {
    if (name != "__metadata__") {
      entries.push_back(parse_entry(path, name, value));
      continue;
    }
    if (value.is_null()) continue;  // as some writers say that there is none
    if (!value.is_object()) damaged(path, "__metadata__ is not an object");
    for (const auto& [key, text] : value.items())
      weights.metadata[key] = text.is_string() ? text.get<std::string>() : to_text(text);
  }
  check_layout(path, entries, mapping->size - data_begin);
  for (const auto& entry : entries) {
    weights.tensors.emplace(entry.name,
                            mapped_tensor(mapping, data_begin + entry.begin, entry.shape,
                                          contiguous_strides(entry.shape), entry.type));
  }
  return weights;
}

void write_safetensors(const fs::path& path, const Weights& weights) {
  json header = json::object();
  for (const auto& [key, value] : weights.metadata) header["__metadata__"][key] = value;
  uint64_t offset = 0;
  for (const auto& [name, tensor] : weights.tensors) {
    const auto* known =
        std::find_if(std::begin(kDtypes), std::end(kDtypes),
                     [&, type = tensor.scalar_type()](auto& d) { return d.type == type; });
    TORCH_CHECK(known != std::end(kDtypes), "write_safetensors: ", name, ": cannot store ",
                tensor.scalar_type());
    const uint64_t end = offset + tensor.numel() * tensor.element_size();
    header[name] = {
        {"dtype", known->name}, {"shape", tensor.sizes().vec()}, {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text = to_text(header);
  text.resize((text.size() + 7) / 8 * 8, ' ');  // the data starts at a multiple of 8
  const uint64_t size = text.size();
  write_file_in_pieces(path, [&](const Append& append) {
    append(&size, 8);
    append(text.data(), text.size());
    for (const auto& [name, tensor] : weights.tensors) {
      const at::Tensor bytes = tensor.detach().to(at::kCPU).contiguous();
      append(bytes.data_ptr(), bytes.numel() * bytes.element_size());
    }
  });
}

}  // namespace data
