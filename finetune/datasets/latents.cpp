#include "finetune/datasets/latents.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <sstream>
#include <unordered_map>

#include "data/base/error.hpp"
#include "data/weights/safetensors.hpp"
#include "diffusion/pipeline/encode_together.hpp"
#include "finetune/datasets/workers.hpp"

namespace finetune {
namespace {

// Shares the pieces of a batch among the workers and puts the results back in order.
at::Tensor shared(int64_t workers,
                  int64_t count,
                  const std::function<at::Tensor(int64_t begin, int64_t end)>& work) {
  std::vector<at::Tensor> parts(workers);
  in_parallel(workers, [&](int64_t i) {
    const at::NoGradGuard no_grad;
    const int64_t begin = count * i / workers, end = count * (i + 1) / workers;
    if (begin < end) parts[i] = work(begin, end);
  });
  std::erase_if(parts, [](const at::Tensor& part) { return !part.defined(); });
  return at::cat(parts);
}

// The workers take pieces of the captions in turn. -> as LatentSet
diffusion::TextCondition encode_captions(const diffusion::Pipeline& pipeline,
                                         const std::vector<std::string>& captions,
                                         const EncodeOptions& options) {
  const auto count = static_cast<int64_t>(captions.size()), size = options.batch_size;
  const auto pieces = static_cast<size_t>((count + size - 1) / size);
  std::vector<at::Tensor> hidden(pieces), pooled(pieces);
  in_parallel(options.num_workers, [&](int64_t worker) {
    for (auto i = worker; i < static_cast<int64_t>(pieces); i += options.num_workers) {
      const auto at = static_cast<size_t>(i);
      const auto text = diffusion::encode_together(
          pipeline,
          {captions.begin() + i * size, captions.begin() + std::min(count, (i + 1) * size)});
      hidden[at] = text.hidden.to(at::kHalf);
      if (text.pooled.defined()) pooled[at] = text.pooled.to(at::kHalf);
    }
  });
  return {at::cat(hidden), pooled.front().defined() ? at::cat(pooled) : at::Tensor()};
}

}  // namespace

at::Tensor latent_gaussian(const diffusion::Vae& vae, const at::Tensor& images) {
  const auto moments = diffusion::vae_encode(vae, images * 2 - 1);
  const auto& config = vae.config;
  const at::Tensor mean = (moments.mean - config.shift_factor) * config.scaling_factor;
  return at::stack({mean, (0.5 * moments.logvar).exp() * config.scaling_factor}, 1).to(at::kHalf);
}

EncodedImages encode_images(const diffusion::Vae& vae,
                            const CaptionedSource& source,
                            const EncodeOptions& options,
                            at::Generator& generator,
                            const std::function<void(const std::string&)>& print) {
  std::vector<at::Tensor> parts;
  EncodedImages result;
  for (int64_t done = 0; done < options.count;) {
    const CaptionedImages drawn =
        source.draw(std::min(options.batch_size, options.count - done), generator);
    parts.push_back(
        shared(options.num_workers, drawn.images.size(0), [&](int64_t begin, int64_t end) {
          return latent_gaussian(vae, drawn.images.slice(0, begin, end));
        }));
    result.captions.insert(result.captions.end(), drawn.captions.begin(), drawn.captions.end());
    done += drawn.images.size(0);
    if (parts.size() % 50 == 0) print("images encoded: " + std::to_string(done));
  }
  const at::Tensor all = at::cat(parts);
  result.mean = all.select(1, 0).contiguous();
  result.std = all.select(1, 1).contiguous();
  return result;
}

void save_encoded_images(const std::filesystem::path& path,
                         const EncodedImages& images,
                         const std::string& origin) {
  std::string text;
  for (const auto& caption : images.captions) text += caption + "\n";
  const at::Tensor bytes = at::empty({static_cast<int64_t>(text.size())}, at::kByte);
  std::copy(text.begin(), text.end(), bytes.data_ptr<uint8_t>());
  data::Weights file;
  file.metadata["origin"] = origin;
  file.tensors = {{"mean", images.mean}, {"std", images.std}, {"captions", bytes}};
  data::write_safetensors(path, file);
}

EncodedImages load_encoded_images(const std::filesystem::path& path, const std::string& origin) {
  const data::Weights file = data::read_safetensors(path);
  const auto found = file.metadata.find("origin");
  if (found == file.metadata.end() || found->second != origin) {
    throw data::BadInput(path.string() + ": expected latents of " + origin + ", found latents of " +
                         (found == file.metadata.end() ? "something else" : found->second) +
                         "; remove the file to encode anew");
  }
  for (const char* name : {"mean", "std", "captions"}) {
    if (!data::has(file, name))
      throw data::BadInput(path.string() + ": tensor " + name + " is missing; remove the file");
  }
  EncodedImages images{file.tensors.at("mean"), file.tensors.at("std"), {}};
  const at::Tensor& bytes = file.tensors.at("captions");
  std::istringstream text(
      std::string(static_cast<const char*>(bytes.const_data_ptr()), bytes.numel()));
  for (std::string line; std::getline(text, line);) images.captions.push_back(line);
  return images;
}

LatentSet encode_text(const EncodedImages& images,
                      const diffusion::Pipeline& pipeline,
                      const EncodeOptions& options) {
  std::vector<std::string> captions{""};
  std::unordered_map<std::string, int64_t> row_of{{"", 0}};
  std::vector<int64_t> rows;
  for (const auto& caption : images.captions) {
    const auto [entry, added] = row_of.try_emplace(caption, static_cast<int64_t>(captions.size()));
    if (added) captions.push_back(caption);
    rows.push_back(entry->second);
  }
  const auto text = encode_captions(pipeline, captions, options);
  return {images.mean, images.std, at::tensor(rows, at::kLong), text.hidden, text.pooled};
}

LatentBatch latent_batch(const LatentSet& set,
                         const at::Tensor& rows,
                         const at::Tensor& noise,
                         const at::Tensor& drop) {
  const at::Tensor mean = set.mean.index_select(0, rows).to(at::kFloat);
  const at::Tensor std = set.std.index_select(0, rows).to(at::kFloat);
  const at::Tensor captions = set.caption.index_select(0, rows).masked_fill(drop, 0);
  const auto text_of = [&](const at::Tensor& all) {
    return all.defined() ? all.index_select(0, captions).to(at::kFloat) : all;
  };
  return {mean + std * noise, text_of(set.hidden), text_of(set.pooled), captions};
}

}  // namespace finetune
