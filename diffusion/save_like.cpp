#include "diffusion/save_like.hpp"

#include <ATen/ATen.h>

#include <set>

#include "data/error.hpp"
#include "data/files.hpp"
#include "data/safetensors.hpp"
#include "data/shape.hpp"
#include "data/weight_files.hpp"
#include "diffusion/original_layout.hpp"
#include "diffusion/original_names.hpp"

using data::BadInput;
using data::Weights;
namespace fs = std::filesystem;

namespace diffusion {
namespace {

// `value` in place of `old`; `old` itself, bytes and all, where nothing has changed.
at::Tensor changed(const at::Tensor& old, const at::Tensor& value) {
  const at::Tensor cast = value.to(old.device(), old.scalar_type());
  const bool same =
      at::equal(cast, old) || at::equal(old.to(at::kFloat), value.to(old.device(), at::kFloat));
  return same ? old : cast;
}

[[noreturn]] void no_place(const std::string& source, const std::string& name) {
  throw BadInput(source + ": no place for the changed tensor " + name +
                 "; it is of another checkpoint");
}

// Single files.

const Weights& part_of(const ChangedParts& parts, Part part) {
  switch (part) {
    case Part::kVae:
      return parts.vae;
    case Part::kText:
      return parts.text_encoder;
    case Part::kText2:
      return parts.text_encoder_2;
    default:
      return parts.unet;
  }
}

void check_all_placed(const Weights& file,
                      const OriginalLayout& layout,
                      const ChangedParts& parts) {
  for (const Part part : {Part::kUNet, Part::kVae, Part::kText, Part::kText2}) {
    const Weights& values = part_of(parts, part);
    if (values.tensors.empty()) continue;
    const Weights places = take_part(file, layout, part);
    for (const auto& [name, value] : values.tensors) {
      if (!data::has(places, name)) no_place(file.source, name);
      if (places.tensors.at(name).sizes() != value.sizes())
        throw BadInput(file.source + ": tensor " + name + ": expected shape " +
                       data::shape_text(places.tensors.at(name).sizes()) + ", found " +
                       data::shape_text(value.sizes()));
    }
  }
}

void save_single_file(const fs::path& source, const fs::path& target, const ChangedParts& parts) {
  if (target.extension() != ".safetensors")
    throw BadInput(target.string() +
                   ": expected a name that ends in .safetensors; a single file is "
                   "written in that form");
  Weights file = data::read_weights_file(source);
  const OriginalLayout layout = original_layout(file);
  check_all_placed(file, layout, parts);
  for (auto& [original, tensor] : file.tensors) {
    const auto place = place_of(layout, original);
    if (!place) continue;
    const at::Tensor value = put_back(tensor, *place, part_of(parts, place->part));
    if (value.defined()) tensor = changed(tensor, value);
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

// Copies what `is_wanted` takes, the files that links lead to.
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

// A name in `values`, which has today's names, for a file's name.
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
               const Weights& values) {
  copy_files(source, target, [](const fs::path& path) { return !is_weights(path); });
  std::set<std::string> left;
  for (const auto& [name, value] : values.tensors) left.insert(name);
  const auto files = data::find_weights(source, stem);
  for (const fs::path& path : files) {
    Weights file = data::read_weights_file(path);
    for (auto& [name, tensor] : file.tensors) {
      const std::string known = name_in(values, name);
      if (known.empty()) continue;
      tensor = changed(tensor, values.tensors.at(known).reshape(tensor.sizes()));
      left.erase(known);
    }
    const bool same = path.extension() == ".safetensors";
    data::write_safetensors(target / (same ? path.filename() : fs::path(stem + ".safetensors")),
                            file);
  }
  if (!left.empty()) no_place(source.string(), *left.begin());
  copy_index(source, target, files.front());
}

void save_folder(const fs::path& source, const fs::path& target, const ChangedParts& parts) {
  struct FolderPart {
    const char *folder, *stem;
    const Weights& values;
  };
  const FolderPart known[] = {{"unet", "diffusion_pytorch_model", parts.unet},
                              {"vae", "diffusion_pytorch_model", parts.vae},
                              {"text_encoder", "model", parts.text_encoder},
                              {"text_encoder_2", "model", parts.text_encoder_2}};
  std::set<fs::path> changed_folders;
  for (const auto& part : known) {
    if (!part.values.tensors.empty()) changed_folders.insert(source / part.folder);
  }
  copy_files(source, target, [&](const fs::path& path) {
    if (changed_folders.count(path.parent_path())) return false;
    // Whole checkpoints beside the folders would hold the old weights.
    return path.parent_path() != source || !is_weights(path);
  });
  for (const auto& part : known) {
    if (!part.values.tensors.empty())
      save_part(source / part.folder, target / part.folder, part.stem, part.values);
  }
}

}  // namespace

Weights tensors_of(const UNet& unet) {
  Weights weights;
  UNet view = unet;
  for_each_tensor(view, "", [&](const std::string& name, at::Tensor& tensor) {
    weights.tensors[name] = tensor.detach();
  });
  return weights;
}

void save_like(const fs::path& source, const fs::path& target, const ChangedParts& parts) {
  if (fs::is_directory(source))
    save_folder(source, target, parts);
  else
    save_single_file(source, target, parts);
}

}  // namespace diffusion
