#include "diffusion/checkpoints/save_in_source_format.hpp"

#include <ATen/ATen.h>

#include <set>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/shape.hpp"
#include "data/storage/replace_folder.hpp"
#include "data/weights/safetensors.hpp"
#include "data/weights/weight_files.hpp"
#include "diffusion/checkpoints/ldm_layout.hpp"
#include "diffusion/checkpoints/scaled_weights.hpp"
#include "diffusion/naming/ldm_names.hpp"

using data::BadInput;
using data::Weights;
namespace fs = std::filesystem;

namespace diffusion {
namespace {

using Dtype = std::optional<at::ScalarType>;

// `value` in place of `old`; `old` itself, with its bytes, where nothing has changed.
at::Tensor changed(const at::Tensor& old, const at::Tensor& value, Dtype dtype) {
  const bool converts = dtype && old.is_floating_point() && *dtype != old.scalar_type();
  const at::Tensor cast = value.to(old.device(), converts ? *dtype : old.scalar_type());
  if (converts) return cast;
  const bool same =
      at::equal(cast, old) || at::equal(old.to(at::kFloat), value.to(old.device(), at::kFloat));
  return same ? old : cast;
}

[[noreturn]] void no_place(const std::string& source, const std::string& name) {
  throw BadInput(source + ": no place for the changed tensor " + name +
                 "; it is of another checkpoint");
}

// Single files.

// The new values of a part; nothing when it stays as it is.
const Weights* part_of(const PartWeights& parts, const std::string& part) {
  const auto found = parts.find(part);
  return found == parts.end() ? nullptr : &found->second;
}

void check_all_placed(const Weights& file, const LdmLayout& layout, const PartWeights& parts) {
  for (const char* part : kParts) {
    const Weights* values = part_of(parts, part);
    if (!values) continue;
    const Weights places = take_part(file, layout, part);
    for (const auto& [name, value] : values->tensors) {
      if (!data::has(places, name)) no_place(file.source, name);
      if (places.tensors.at(name).sizes() != value.sizes())
        throw BadInput(file.source + ": tensor " + name + ": expected shape " +
                       data::shape_text(places.tensors.at(name).sizes()) + ", found " +
                       data::shape_text(value.sizes()));
    }
  }
}

void save_single_file(const fs::path& source,
                      const fs::path& target,
                      const PartWeights& parts,
                      Dtype dtype) {
  Weights file = data::read_weights_file(source);
  const LdmLayout layout = ldm_layout(file);
  check_all_placed(file, layout, parts);
  if (dtype) file = dequantised(file);
  for (auto& [original, tensor] : file.tensors) {
    const auto place = place_of(layout, original);
    if (!place) continue;
    const Weights* values = part_of(parts, place->part);
    const at::Tensor value = values ? put_back(tensor, *place, *values) : at::Tensor();
    if (!value.defined()) continue;
    const at::Tensor scale = scale_of(file, original);
    tensor = scale.defined() ? quantised(tensor, value, scale) : changed(tensor, value, dtype);
  }
  data::write_safetensors(target, file);
}

// Folders.

bool is_weights(const fs::path& path) {
  static const std::set<std::string> endings{".safetensors", ".ckpt", ".pt",        ".pth", ".bin",
                                             ".msgpack",     ".onnx", ".onnx_data", ".pb",  ".h5"};
  return endings.count(path.extension().string()) > 0 ||
         path.filename().string().find(".index.") != std::string::npos;
}

// Copies the files that `is_wanted` accepts, following links.
template <class IsWanted>
void copy_files(const fs::path& source, const fs::path& target, const IsWanted& is_wanted) {
  fs::create_directories(target);
  for (const auto& entry : fs::directory_iterator(source)) {
    const fs::path to = target / entry.path().filename();
    if (entry.is_directory())
      copy_files(entry.path(), to, is_wanted);
    else if (is_wanted(entry.path()))
      fs::copy_file(fs::canonical(entry.path()), to, fs::copy_options::overwrite_existing);
  }
}

// The name in `values`, which has the current names, of a file's tensor; "" when it has none.
std::string name_in(const Weights& values, const std::string& name) {
  for (const std::string& known : {name, current_vae_name(name), "text_model." + name}) {
    if (data::has(values, known)) return known;
  }
  return "";
}

// Copies the index that names the shard `file`, where there is one.
void copy_index(const fs::path& source, const fs::path& target, const fs::path& file) {
  for (const auto& entry : fs::directory_iterator(source)) {
    const fs::path name = entry.path().filename();
    const bool index = name.string().find(".safetensors.index.") != std::string::npos;
    if (index && data::read_file(entry.path()).find(file.filename().string()) != std::string::npos)
      fs::copy_file(fs::canonical(entry.path()), target / name);
  }
}

void save_part(const fs::path& source,
               const fs::path& target,
               const std::string& stem,
               const Weights& values,
               Dtype dtype) {
  copy_files(source, target, [](const fs::path& path) { return !is_weights(path); });
  std::set<std::string> left;
  for (const auto& [name, value] : values.tensors) left.insert(name);
  const auto files = data::find_weights(source, stem);
  for (const fs::path& path : files) {
    Weights file = data::read_weights_file(path);
    for (auto& [name, tensor] : file.tensors) {
      const std::string known = name_in(values, name);
      if (known.empty()) continue;
      tensor = changed(tensor, values.tensors.at(known).reshape(tensor.sizes()), dtype);
      left.erase(known);
    }
    const bool same = path.extension() == ".safetensors";
    data::write_safetensors(target / (same ? path.filename() : fs::path(stem + ".safetensors")),
                            file);
  }
  if (!left.empty()) no_place(source.string(), *left.begin());
  copy_index(source, target, files.front());
}

void save_folder(const fs::path& source,
                 const fs::path& target,
                 const PartWeights& parts,
                 Dtype dtype) {
  const fs::path whole = fs::absolute(target / "").parent_path(),
                 temporary = whole.string() + ".tmp";
  fs::remove_all(temporary);
  copy_files(source, temporary, [&](const fs::path& path) {
    const fs::path folder = path.parent_path();
    if (folder.parent_path() == source && parts.contains(folder.filename().string())) return false;
    // Whole checkpoints beside the folders would hold the old weights.
    return folder != source || !is_weights(path);
  });
  for (const auto& [name, values] : parts)
    save_part(source / name, temporary / name, weights_stem(name), values, dtype);
  data::replace_folder(temporary, whole);
}

void check_form(const fs::path& source, const fs::path& target) {
  if (!fs::is_directory(source) && target.extension() != ".safetensors")
    throw BadInput(target.string() +
                   ": expected a name that ends in .safetensors; a single file is "
                   "written in that form");
}

}  // namespace

Weights tensors_of(const Network& network) {
  Weights weights;
  Network view = network;
  for_each_tensor(view, "", [&](const std::string& name, at::Tensor& tensor) {
    weights.tensors[name] = tensor.detach();
  });
  return weights;
}

const char* weights_stem(const std::string& part) {
  const bool diffusers = part == kUnetPart || part == kTransformerPart || part == kVaePart;
  return diffusers ? "diffusion_pytorch_model" : "model";
}

void check_new_target(const fs::path& source, const fs::path& target) {
  if (fs::exists(target))
    throw BadInput(target.string() + ": is there already; name another or remove it");
  check_form(source, target);
}

void save_in_source_format(const fs::path& source,
                           const fs::path& target,
                           const PartWeights& parts,
                           std::optional<at::ScalarType> dtype) {
  check_form(source, target);
  if (fs::is_directory(source))
    save_folder(source, target, parts, dtype);
  else
    save_single_file(source, target, parts, dtype);
}

}  // namespace diffusion
