#include "data/weights/weight_files.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cctype>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "data/base/error.hpp"
#include "data/base/json.hpp"
#include "data/weights/safetensors.hpp"
#include "data/weights/torch_file.hpp"

namespace fs = std::filesystem;

namespace data {
namespace {

// What an index of shards says: which file holds each tensor.
std::map<std::string, std::string> read_index(const fs::path& index) {
  const nlohmann::json object = read_json_object(index);
  std::map<std::string, std::string> files;
  if (!object.contains("weight_map") || !object["weight_map"].is_object())
    throw BadInput(index.string() + ": weight_map: expected an object of tensors and files");
  for (const auto& [tensor, file] : object["weight_map"].items()) {
    const std::string name = file.is_string() ? file.get<std::string>() : "";
    if (name.empty() || name.find('/') != std::string::npos)
      throw BadInput(index.string() + ": weight_map: " + tensor + ": expected a file's name");
    files[tensor] = name;
  }
  return files;
}

std::vector<fs::path> shards_of(const fs::path& index) {
  std::set<std::string> names;
  for (const auto& [tensor, file] : read_index(index)) names.insert(file);
  std::vector<fs::path> paths;
  std::error_code error;  // of a name that no file can have
  for (const auto& name : names) {
    paths.push_back(index.parent_path() / name);
    if (!fs::exists(paths.back(), error))
      throw BadInput(paths.back().string() + ": no such file, although " +
                     index.filename().string() +
                     " names it; the download may be incomplete, fetch this shard");
  }
  return paths;
}

struct FoundFile {
  fs::path file;
  bool is_index = false;
};

// The first place that exists; an empty path when none does.
FoundFile find_place(const fs::path& folder, const std::string& stem) {
  const std::string torch_stem = stem == "model" ? "pytorch_model" : stem;
  std::vector<FoundFile> places;
  // diffusers' names: a variant stands before the ending, in an index before ".json".
  const auto add = [&](const std::string& name, const std::string& ending,
                       const std::string& variant) {
    places.push_back({name + variant + ending, false});
    places.push_back({name + ending + ".index" + variant + ".json", true});
  };
  for (const char* variant : {"", ".fp16", ".bf16"}) add(stem, ".safetensors", variant);
  for (const char* variant : {"", ".fp16", ".bf16"}) add(torch_stem, ".bin", variant);
  // The weights without their moving average: the worse ones, where there are others.
  add(stem, ".safetensors", ".non_ema");
  add(torch_stem, ".bin", ".non_ema");
  for (const auto& place : places) {
    if (fs::exists(folder / place.file)) return {folder / place.file, place.is_index};
  }
  return {};
}

void check_index(const fs::path& index, const Weights& weights) {
  for (const auto& [tensor, file] : read_index(index)) {
    if (!has(weights, tensor))
      throw BadInput(index.string() + ": names tensor " + tensor + " in " + file +
                     ", where it is not; the shards do not belong together");
  }
}

std::string first_bytes(const fs::path& path) {
  std::string start(32, '\0');
  std::ifstream file(path, std::ios::binary);
  file.read(start.data(), static_cast<std::streamsize>(start.size()));
  start.resize(static_cast<size_t>(file.gcount()));
  return start;
}

// By the ending of the name, or the first bytes: what a file is that holds no weights, or weights
// in a form that is not read. "" when nothing speaks against it.
std::string what_instead(const fs::path& path) {
  struct Form {
    const char *mark, *text;
  };
  constexpr Form kEndings[] = {{".onnx", "an ONNX model"},
                               {".msgpack", "Flax weights"},
                               {".h5", "Keras weights"},
                               {".pb", "a TensorFlow graph"},
                               {".tflite", "a TensorFlow Lite model"},
                               {".mlmodel", "a Core ML model"},
                               {".engine", "a TensorRT engine"},
                               {".gguf", "GGUF, quantised weights"}};
  constexpr Form kStarts[] = {
      {"GGUF", "GGUF, quantised weights, which is not read; take the .safetensors"},
      {"version https://git-lfs", "a pointer of Git LFS; fetch the file itself with git lfs pull"},
      {"<!doctype", "an HTML page; the download was refused, log in and fetch it again"},
      {"<html", "an HTML page; the download was refused, log in and fetch it again"},
      {"<?xml", "an XML text; the download was refused, fetch it again"},
      {"{\"", "a JSON text; the download may have been refused, fetch it again"}};
  for (const auto& [ending, text] : kEndings) {
    if (path.extension() == ending)
      return std::string(text) + ", which is not read; take the .safetensors";
  }
  const std::string start = first_bytes(path);
  for (const auto& [mark, text] : kStarts) {
    const std::string_view begin(mark);
    const bool same = begin.size() <= start.size() &&
                      std::equal(begin.begin(), begin.end(), start.begin(), [](char a, char b) {
                        return std::tolower(static_cast<unsigned char>(a)) ==
                               std::tolower(static_cast<unsigned char>(b));
                      });
    if (same) return text;
  }
  return "";
}

// A safetensors file: a length that fits the file, then a JSON object.
bool starts_as_safetensors(std::string_view start, uintmax_t size) {
  uint64_t header = 0;
  if (start.size() < 9) return false;
  std::memcpy(&header, start.data(), 8);
  return start[8] == '{' && header <= size - 8;
}

// By the file's first bytes, whatever its name; by the name where they tell nothing.
bool is_safetensors(const fs::path& path) {
  std::error_code error;
  const std::string start = first_bytes(path);
  if (starts_as_safetensors(start, fs::file_size(path, error))) return true;
  const bool torch = start.starts_with("PK\x03\x04") || start.starts_with("\x80\x02");
  return path.extension() == ".safetensors" && !torch;
}

FoundFile existing_place(const fs::path& folder, const std::string& stem) {
  const std::string expected = folder.string() + ": expected " + stem +
                               ".safetensors (or .bin, a variant such as fp16, or shards)";
  if (!fs::is_directory(folder))
    throw BadInput(expected + ", but there is no such folder; check the path");
  const FoundFile place = find_place(folder, stem);
  if (place.file.empty())
    throw BadInput(expected + ", found no weights; the download may be incomplete");
  return place;
}

}  // namespace

std::vector<fs::path> find_weights(const fs::path& folder, const std::string& stem) {
  const FoundFile place = existing_place(folder, stem);
  return place.is_index ? shards_of(place.file) : std::vector<fs::path>{place.file};
}

Weights read_weights_file(const fs::path& path) {
  const std::string other = what_instead(path);
  if (!other.empty())
    throw BadInput(path.string() + ": expected safetensors or a file of torch.save, found " +
                   other);
  if (fs::is_directory(path))
    throw BadInput(path.string() +
                   ": expected safetensors or a file of torch.save, found a folder");
  return is_safetensors(path) ? read_safetensors(path) : read_torch_file(path);
}

Weights read_weights(const fs::path& folder, const std::string& stem) {
  const FoundFile place = existing_place(folder, stem);
  if (!place.is_index) return read_weights_file(place.file);
  Weights all;
  all.source = folder.string();
  for (const auto& path : shards_of(place.file)) {
    Weights shard = read_weights_file(path);
    all.metadata.merge(shard.metadata);
    all.tensors.merge(shard.tensors);
    if (!shard.tensors.empty())
      throw BadInput(path.string() + ": tensor " + shard.tensors.begin()->first +
                     " stands in another shard too; the shards do not belong together");
  }
  check_index(place.file, all);
  return all;
}

}  // namespace data
