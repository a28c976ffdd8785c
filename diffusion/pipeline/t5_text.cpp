#include "diffusion/pipeline/t5_text.hpp"

#include <ATen/ATen.h>

#include "data/base/error.hpp"

namespace fs = std::filesystem;

namespace diffusion {

std::shared_ptr<const T5TextEncoder> load_t5_text(const fs::path& encoder,
                                                  const fs::path& tokenizer) {
  auto t5 = std::make_shared<T5TextEncoder>();
  t5->tokenizer = data::load_unigram_tokenizer(tokenizer);  // the quicker one to fail
  t5->tokenizer_files = tokenizer;
  t5->network = nn::load_t5_encoder(encoder);
  return t5;
}

void save_t5_text(const fs::path& encoder,
                  const fs::path& tokenizer,
                  const T5TextEncoder& t5,
                  at::ScalarType dtype) {
  nn::save_t5_encoder(encoder, t5.network, dtype);
  fs::create_directories(tokenizer);
  const auto copy = [&](const fs::path& file) {
    if (fs::exists(file))
      fs::copy_file(fs::canonical(file), tokenizer / file.filename(),
                    fs::copy_options::overwrite_existing);
  };
  if (!fs::is_directory(t5.tokenizer_files)) return copy(t5.tokenizer_files);
  for (const char* name : {"tokenizer.json", "spiece.model", "tokenizer_config.json",
                           "special_tokens_map.json", "added_tokens.json"})
    copy(t5.tokenizer_files / name);
}

at::Tensor t5_rows(const T5Text& text, const std::string& prompt, int64_t width) {
  const int64_t length = text.max_sequence_length;
  if (!text.encoder) return at::zeros({1, length, width});
  const at::Tensor ids = data::encode(text.encoder->tokenizer, {prompt}, length).ids;
  return nn::t5_encoder_forward(text.encoder->network, ids).to(at::kFloat);
}

TextCondition joint_text(const std::vector<nn::TextOutput>& clip,
                         const at::Tensor& t5,
                         int64_t width) {
  std::vector<at::Tensor> rows, pooled;
  for (const auto& output : clip) {
    rows.push_back(output.penultimate);
    pooled.push_back(output.pooled);
  }
  const at::Tensor side_by_side = at::cat(rows, 2);
  const at::Tensor padded = at::constant_pad_nd(side_by_side, {0, width - side_by_side.size(2)}, 0);
  return {at::cat({padded, t5}, 1), at::cat(pooled, 1)};
}

std::vector<std::string> t5_truncation_warnings(const T5Text& text,
                                                const std::vector<std::string>& prompts) {
  std::vector<std::string> warnings;
  if (!text.encoder) return warnings;
  const int64_t most = text.max_sequence_length - 1;  // and the end token
  for (size_t i = 0; i < prompts.size(); ++i) {
    const size_t ids = data::encode_text(text.encoder->tokenizer, prompts[i]).size();
    if (static_cast<int64_t>(ids) <= most) continue;
    warnings.push_back("prompt " + std::to_string(i + 1) + ": " + std::to_string(ids) +
                       " ids of T5, which takes " + std::to_string(most) +
                       "; the rest is ignored (--max_sequence_length sets how many)");
  }
  return warnings;
}

void set_max_sequence_length(Pipeline& pipeline, int64_t length) {
  if (!pipeline.t5_text) {
    throw data::BadInput("--max_sequence_length: " + pipeline.class_name +
                         " reads no rows of T5; leave it out");
  }
  const int64_t least = pipeline.t5_text->encoder ? 1 : 0;
  if (length < least || length > kMostT5Tokens) {
    throw data::BadInput("--max_sequence_length: expected a value in [" + std::to_string(least) +
                         ", " + std::to_string(kMostT5Tokens) + "], found " +
                         std::to_string(length));
  }
  pipeline.t5_text->max_sequence_length = length;
  pipeline.cache = make_prompt_cache();
}

std::vector<std::pair<std::string, std::string>> t5_parameters(const Pipeline& pipeline) {
  if (!pipeline.t5_text) return {};
  const std::string length = std::to_string(pipeline.t5_text->max_sequence_length);
  return {{"T5 tokens", pipeline.t5_text->encoder ? length : length + " zeros (no T5)"}};
}

}  // namespace diffusion
