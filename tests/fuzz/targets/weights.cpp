// Tensors in files: safetensors, torch's archives and their pickles, indices of shards.

#include "data/weights/pickle.hpp"
#include "data/weights/safetensors.hpp"
#include "data/weights/torch_file.hpp"
#include "data/weights/weight_files.hpp"
#include "diffusion/families/identify.hpp"
#include "tests/fuzz/support.hpp"
#include "tests/fuzz/target.hpp"

namespace fuzz {
namespace {

using namespace std::string_literals;

// What every user of a file does: looks at each tensor, and asks what the file is.
void look_at(const data::Weights& weights) {
  for (const auto& [name, tensor] : weights.tensors) {
    if (tensor.numel() <= 1 << 16) touch(tensor);
    if (tensor.numel() <= 1 << 16) data::all_finite(tensor);
  }
  data::count_numbered(weights, "encoder.layers.");
  diffusion::identify(weights);
}

void safetensors(std::string_view input) {
  look_at(data::read_safetensors(file_of("input.safetensors", input)));
}

void torch_file(std::string_view input) {
  look_at(data::read_torch_file(file_of("input.pt", input)));
}

void pickle(std::string_view input) { data::read_pickle(input, "input"); }

// The file's kind is told by its bytes.
void weights_file(std::string_view input) {
  look_at(data::read_weights_file(file_of("input.bin", input)));
}

void shards(std::string_view input) {
  const auto parts = parts_of(input, 2);
  file_of("diffusion_pytorch_model.safetensors.index.json", parts[0]);
  file_of("one.safetensors", parts[1]);
  look_at(data::read_weights(scratch(), "diffusion_pytorch_model"));
}

std::string small_safetensors() {
  const std::string header =
      R"({"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
      R"("b.weight":{"dtype":"BF16","shape":[1,2],"data_offsets":[8,12]}})";
  return little_endian(header.size(), 8) + header + std::string(12, '\x3F');
}

// {"w": a tensor of 2 by 3 whose storage is "0"}, in protocol 2
std::string small_pickle() {
  return "\x80\x02}X\x01\0\0\0wctorch._utils\n_rebuild_tensor_v2\n"s +
         "((X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\0"
         "0X\x03\0\0\0cpuK\x06tQ"s +
         "K\0K\x02K\x03\x86K\x03K\x01\x86\x89}tRs."s;
}

}  // namespace

Targets weights_targets() {
  const std::string index =
      R"({"metadata": {}, "weight_map": {"a": "one.safetensors", "b.weight": "one.safetensors"}})";
  return {
      {.name = "safetensors",
       .run = safetensors,
       .seeds = {small_safetensors()},
       .golden = {"torch_files/expected.safetensors", "lora/tucker.safetensors"},
       .words = {"\"data_offsets\":[0,8]", "\"dtype\":\"F8_E4M3\"", "\"shape\":[]", "C64", "BOOL",
                 "18446744073709551615", "__metadata__", "lora_unet_", ".alpha"}},
      {.name = "torch_file",
       .run = torch_file,
       .golden = {"torch_files/plain.pt", "torch_files/nested.pt", "torch_files/containers.pt",
                  "torch_files/hostile_cycle.pt", "torch_files/hostile_shared.pt",
                  "torch_files/hostile_shape.pt", "torch_files/lightning.ckpt",
                  "embeddings/learned_embeds.bin"},
       .words = {"PK\x03\x04", "PK\x01\x02", "PK\x05\x06", "PK\x06\x06", "PK\x06\x07", "data.pkl",
                 "\xFF\xFF\xFF\xFF", "FloatStorage"},
       .longest = 6000},
      {.name = "pickle",
       .run = pickle,
       .seeds = {small_pickle(),
                 "\x80\x04\x95\0\0\0\0\0\0\0\0]\x94(K\x01K\x02"
                 "e."s},
       .words = {"ctorch._utils\n_rebuild_tensor_v2\n", "ctorch._utils\n_rebuild_tensor_v3\n",
                 "ccollections\nOrderedDict\n", "ctorch\nHalfStorage\n", "c__torch__\nM\n", "\x85",
                 "\x86", "\x87", "tQ", "tR", "q\x01", "h\x01", "}(", "u.", "\x93", "\x94"}},
      {.name = "weights_file",
       .run = weights_file,
       .seeds = {small_safetensors(), "version https://git-lfs.github.com/spec/v1\n", "<html>"},
       .golden = {"torch_files/plain.pt", "lora/tucker.safetensors"},
       .longest = 4096},
      {.name = "shards",
       .run = shards,
       .seeds = {index + "\n%%\n" + small_safetensors()},
       .words = {"weight_map", "one.safetensors", "\n%%\n", "../"}},
  };
}

}  // namespace fuzz
