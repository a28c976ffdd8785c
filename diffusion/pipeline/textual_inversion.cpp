#include "diffusion/pipeline/textual_inversion.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <map>

#include "data/base/error.hpp"
#include "data/base/shape.hpp"
#include "data/weights/weight_files.hpp"

using data::BadInput;

namespace diffusion {
namespace {

// [k, D] fp32; one vector may stand as [D].
at::Tensor vectors_of(const data::Weights& file, const std::string& name) {
  const bool single = file.tensors.at(name).dim() == 1;
  if (single) return data::take(file, name, {-1}).unsqueeze(0);
  return data::take(file, name, {-1, -1});
}

// The tensor of the files that hold one word; "": another kind of file.
std::string only_tensor(const data::Weights& file) {
  if (data::has(file, "emb_params")) return "emb_params";
  for (const auto& [name, tensor] : file.tensors) {
    if (name.starts_with("string_to_param.")) return name;
  }
  return file.tensors.size() == 1 ? file.tensors.begin()->first : "";
}

// OneTrainer's LoRA files hold words too, as "bundle_emb.<word>.<tensor>": the tensors of the one
// that is asked for, or of the only one; any other file as it is.
data::Weights unbundled(const data::Weights& file, const std::string& name) {
  constexpr std::string_view kBundle = "bundle_emb.";
  std::map<std::string, data::Weights> words;
  for (const auto& [tensor_name, tensor] : file.tensors) {
    if (!tensor_name.starts_with(kBundle)) continue;
    const std::string rest = tensor_name.substr(kBundle.size());
    const size_t dot = std::min(rest.find('.'), rest.size() - 1);
    words[rest.substr(0, dot)].tensors[rest.substr(dot + 1)] = tensor;
  }
  if (words.empty()) return file;
  const auto asked = words.size() == 1 ? words.begin() : words.find(name);
  if (asked == words.end()) {
    std::string list;
    for (const auto& [word, tensors] : words) list += (list.empty() ? "" : ", ") + word;
    throw BadInput(file.source + ": holds the learnt words " + list +
                   "; name one of them, --embedding NAME=FILE");
  }
  asked->second.source = file.source;
  return asked->second;
}

// Puts the word into one tokenizer and its vectors into that one's encoder.
void add_word(const Embedding& embedding,
              const at::Tensor& vectors,
              data::Tokenizer& tokenizer,
              nn::ClipText& encoder) {
  const int64_t width = encoder.token_embedding.size(1);
  if (!vectors.defined() || vectors.size(1) != width) {
    const std::string found = vectors.defined() ? std::to_string(vectors.size(1)) : "none";
    throw BadInput(embedding.source + ": expected vectors of " + std::to_string(width) +
                   " numbers for this model's text encoder, found " + found +
                   "; it was made for another family");
  }
  for (const auto& token : tokenizer.added) {
    if (token.content == embedding.name)
      throw BadInput(embedding.source + ": the word '" + embedding.name +
                     "' is taken; give another, --embedding NAME=FILE");
  }
  const int64_t id = encoder.token_embedding.size(0);
  tokenizer.added.push_back({.content = embedding.name,
                             .id = id,
                             .normalized = true,
                             .count = vectors.size(0),
                             .whole_word = true});
  encoder.token_embedding =
      at::cat({encoder.token_embedding, vectors.to(encoder.token_embedding.options())});
  encoder.config.vocab_size = encoder.token_embedding.size(0);
}

}  // namespace

Embedding read_embedding(const std::filesystem::path& path, const std::string& name) {
  const data::Weights file = unbundled(data::read_weights_file(path), name);
  Embedding embedding{.name = name, .vectors = {}, .vectors_2 = {}, .source = path.string()};
  if (name.empty()) embedding.name = path.stem().string();
  if (data::has(file, "clip_l") && data::has(file, "clip_g")) {
    embedding.vectors = vectors_of(file, "clip_l");
    embedding.vectors_2 = vectors_of(file, "clip_g");
    if (embedding.vectors.size(0) != embedding.vectors_2.size(0))
      throw BadInput(path.string() + ": clip_l and clip_g hold " +
                     std::to_string(embedding.vectors.size(0)) + " and " +
                     std::to_string(embedding.vectors_2.size(0)) + " vectors; expected as many");
    return embedding;
  }
  const std::string only = only_tensor(file);
  if (only.empty()) {
    throw BadInput(path.string() + ": expected a textual inversion (string_to_param, emb_params, " +
                   "one tensor, or clip_l and clip_g), found " +
                   std::to_string(file.tensors.size()) + " tensors such as " +
                   file.tensors.begin()->first);
  }
  embedding.vectors = vectors_of(file, only);
  const bool word = only != "emb_params" && !only.starts_with("string_to_param.");
  if (name.empty() && word) embedding.name = only;
  return embedding;
}

void add_embedding(Pipeline& pipeline, const Embedding& embedding) {
  if (embedding.name.empty()) throw BadInput(embedding.source + ": expected a word for it");
  auto& encoders = pipeline.text_encoders;
  if (encoders.size() > 1)
    add_word(embedding, embedding.vectors_2, encoders[1].tokenizer, encoders[1].network);
  add_word(embedding, embedding.vectors, encoders[0].tokenizer, encoders[0].network);
  pipeline.cache = make_prompt_cache();
}

}  // namespace diffusion
