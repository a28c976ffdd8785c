#include "finetune/edit/dataset.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <cmath>
#include <memory>
#include <unordered_map>

#include "data/base/error.hpp"
#include "data/device/transfer.hpp"
#include "data/images/image_folder.hpp"
#include "data/images/image_io.hpp"
#include "data/storage/sha256.hpp"
#include "data/weights/safetensors.hpp"
#include "diffusion/pipeline/edit_conditioning.hpp"
#include "finetune/datasets/latents.hpp"
#include "finetune/datasets/timesteps.hpp"

namespace finetune {
namespace {

constexpr int64_t kMostTextBytes = int64_t{1} << 30;  // kept; beyond that texts are encoded anew

// What the latents were made from.
std::string origin_of(const diffusion::Pipeline& pipeline,
                      const std::vector<data::EditTriple>& triples,
                      int64_t resolution) {
  std::string files;
  for (const auto& triple : triples)
    files += triple.source.string() + "\n" + triple.edited.string() + "\n";
  return std::to_string(triples.size()) + " edits (" + data::sha256(files).substr(0, 16) + ") at " +
         std::to_string(resolution) + " pixels by the VAE of " + pipeline.source.string() +
         (pipeline.vae.config.identity ? " (identity)" : "");
}

bool read_kept(EncodedEdits& set, const std::filesystem::path& file, const std::string& origin) {
  if (file.empty() || !std::filesystem::exists(file)) return false;
  const data::Weights kept = data::read_safetensors(file);
  const auto found = kept.metadata.find("origin");
  if (found == kept.metadata.end() || found->second != origin) {
    throw data::BadInput(file.string() + ": expected latents of " + origin + ", found " +
                         (found == kept.metadata.end() ? "something else" : found->second) +
                         "; remove the file to encode anew");
  }
  set.source = kept.tensors.at("source");
  set.mean = kept.tensors.at("mean");
  set.std = kept.tensors.at("std");
  if (const auto left_out = kept.tensors.find("left_out"); left_out != kept.tensors.end()) {
    const at::Tensor& places = left_out->second;
    set.left_out.assign(places.data_ptr<int64_t>(), places.data_ptr<int64_t>() + places.numel());
  }
  return true;
}

void write_kept(const EncodedEdits& set,
                const std::filesystem::path& file,
                const std::string& origin) {
  data::Weights kept;
  kept.metadata["origin"] = origin;
  kept.tensors = {{"source", set.source}, {"mean", set.mean}, {"std", set.std}};
  if (!set.left_out.empty()) kept.tensors["left_out"] = at::tensor(set.left_out, at::kLong);
  data::write_safetensors(file, kept);
}

void encode_images(EncodedEdits& set,
                   const diffusion::Pipeline& pipeline,
                   const std::vector<data::EditTriple>& triples,
                   const EditEncoding& options,
                   const std::function<void(const std::string&)>& print) {
  const at::NoGradGuard no_grad;
  const at::Device device = diffusion::device_of(pipeline.network);
  std::vector<at::Tensor> sources, targets;
  const auto step = static_cast<size_t>(options.batch_size);
  for (size_t done = 0; done < triples.size(); done += step) {
    std::vector<at::Tensor> images;
    for (size_t i = done; i < std::min(triples.size(), done + step); ++i) {
      try {
        images.push_back(edit_images(triples[i], options.resolution));
      } catch (const data::BadInput& fault) {
        print(std::string("left out: ") + fault.what());
        set.left_out.push_back(static_cast<int64_t>(i));
      }
    }
    if (images.empty()) continue;
    const at::Tensor both = at::stack(images, 1).to(device);  // [2, b, 3, R, R]
    sources.push_back(
        diffusion::vae_encode(pipeline.vae, both[0] * 2 - 1).mean.to(at::kCPU, at::kHalf));
    targets.push_back(latent_gaussian(pipeline.vae, both[1]).cpu());
    if (sources.size() % 50 == 0)
      print("edits encoded: " + std::to_string(std::min(triples.size(), done + step)));
  }
  if (sources.empty())
    throw data::BadInput("data: expected edits whose two images can be read, found none in " +
                         std::to_string(triples.size()) + "; see the lines above");
  set.source = at::cat(sources);
  const at::Tensor gaussian = at::cat(targets);
  set.mean = gaussian.select(1, 0).contiguous();
  set.std = gaussian.select(1, 1).contiguous();
}

// Rows of a table by their texts, those of `known` computed once when they are not too many.
std::function<at::Tensor(const std::vector<std::string>&)> remembered(
    std::vector<std::string> known,
    const std::function<at::Tensor(const std::vector<std::string>&)>& encode) {
  known.push_back("");
  auto place = std::make_shared<std::unordered_map<std::string, int64_t>>();
  std::vector<std::string> distinct;
  for (const auto& text : known) {
    if (place->try_emplace(text, static_cast<int64_t>(distinct.size())).second)
      distinct.push_back(text);
  }
  const at::Tensor first = encode({distinct[0]});
  if (first.numel() * 4 * static_cast<int64_t>(distinct.size()) > kMostTextBytes) return encode;
  std::vector<at::Tensor> rows;
  for (const auto& text : distinct) rows.push_back(encode({text}));
  return [place, table = at::cat(rows), encode](const std::vector<std::string>& texts) {
    std::vector<int64_t> wanted;
    for (const auto& text : texts) {
      const auto found = place->find(text);
      if (found == place->end()) return encode(texts);
      wanted.push_back(found->second);
    }
    return table.index_select(0, at::tensor(wanted, at::kLong));
  };
}

std::vector<std::string> texts_at(const std::vector<std::string>& texts,
                                  const at::Tensor& rows,
                                  const at::Tensor& dropped) {
  std::vector<std::string> chosen;
  for (int64_t i = 0; i < rows.size(0); ++i) {
    chosen.push_back(dropped[i].item<bool>() ? std::string()
                                             : texts[static_cast<size_t>(rows[i].item<int64_t>())]);
  }
  return chosen;
}

}  // namespace

at::Tensor edit_images(const data::EditTriple& triple, int64_t resolution) {
  const at::Tensor source = data::read_image(triple.source),
                   edited = data::read_image(triple.edited);
  if (source.sizes() != edited.sizes()) {
    const auto size = [](const at::Tensor& image) {
      return std::to_string(image.size(2)) + "x" + std::to_string(image.size(1));
    };
    throw data::BadInput(triple.where + ": expected source and edited image of one size, found " +
                         size(source) + " and " + size(edited));
  }
  return at::stack(
      {data::middle_square(source, resolution), data::middle_square(edited, resolution)});
}

std::vector<data::EditTriple> without(const std::vector<data::EditTriple>& triples,
                                      const std::vector<int64_t>& left_out) {
  std::vector<data::EditTriple> kept;
  auto skipped = left_out.begin();  // in order
  for (size_t i = 0; i < triples.size(); ++i) {
    if (skipped != left_out.end() && *skipped == static_cast<int64_t>(i))
      ++skipped;
    else
      kept.push_back(triples[i]);
  }
  return kept;
}

at::Tensor score_table(const std::vector<data::EditTriple>& triples,
                       const diffusion::RewardBranchConfig& config) {
  const size_t axes = config.axes.size();
  std::vector<float> values(triples.size() * axes, std::nanf(""));
  for (size_t i = 0; i < triples.size(); ++i) {
    for (const auto& [name, score] : triples[i].scores) {
      const auto axis = diffusion::axis_index(config, name, triples[i].where + ": scores");
      if (!(score >= config.lowest && score <= config.highest)) {
        throw data::BadInput(triples[i].where + ": scores." + name + ": expected " +
                             std::to_string(config.lowest) + " to " +
                             std::to_string(config.highest) + ", found " + std::to_string(score));
      }
      values[i * axes + static_cast<size_t>(axis)] = static_cast<float>(score);
    }
  }
  return at::tensor(values).view(
      {static_cast<int64_t>(triples.size()), static_cast<int64_t>(axes)});
}

EncodedEdits encode_edits(const diffusion::Pipeline& pipeline,
                          const std::vector<data::EditTriple>& triples,
                          const EditEncoding& options,
                          const std::function<void(const std::string&)>& print) {
  EncodedEdits set;
  const at::Tensor scores = score_table(triples, diffusion::reward_config(pipeline.network));
  const std::string origin = origin_of(pipeline, triples, options.resolution);
  if (!read_kept(set, options.keep, origin)) {
    encode_images(set, pipeline, triples, options, print);
    if (!options.keep.empty()) write_kept(set, options.keep, origin);
  }
  const std::vector<data::EditTriple> used = without(triples, set.left_out);
  for (const auto& triple : used) {
    set.instructions.push_back(triple.instruction);
    set.feedback.push_back(triple.feedback);
  }
  set.scores = scores;
  if (!set.left_out.empty())
    set.scores = score_table(used, diffusion::reward_config(pipeline.network));
  return set;
}

EditTexts edit_texts(const diffusion::Pipeline& pipeline, const EncodedEdits& set) {
  EditTexts texts;
  texts.hidden = remembered(set.instructions, [&](const std::vector<std::string>& wanted) {
    return diffusion::encode_prompts(pipeline, {wanted.begin(), wanted.end()}).hidden;
  });
  if (diffusion::reward_config(pipeline.network).text_dim > 0) {
    texts.pooled = remembered(set.feedback, [&](const std::vector<std::string>& wanted) {
      return diffusion::pooled_texts(pipeline, wanted);
    });
  }
  return texts;
}

Dropped draw_dropped(const EditConfig& config,
                     int64_t batch,
                     int64_t axes,
                     at::Generator& generator) {
  const double p = config.conditioning_dropout_prob;
  const at::Tensor u = at::rand({batch}, generator, at::kFloat),
                   all = at::rand({batch}, generator, at::kFloat) < config.reward_dropout,
                   each =
                       at::rand({batch, axes}, generator, at::kFloat) < config.reward_axis_dropout;
  return {u < 2 * p, at::logical_and(u >= p, u < 3 * p), all,
          at::logical_or(each, all.unsqueeze(1))};
}

EditDraw draw_edits(const EncodedEdits& set,
                    const EditConfig& config,
                    int64_t num_train_timesteps,
                    at::Generator& generator) {
  const int64_t count = config.train_batch_size;
  auto shape = set.mean.sizes().vec();
  shape[0] = count;
  EditDraw draw;
  draw.rows = at::randint(set.size(), {count}, generator, at::kLong);
  draw.dropped = draw_dropped(config, count, set.scores.size(1), generator);
  draw.posterior = at::randn(shape, generator, at::kFloat);
  draw.scored_as = draw.rows;
  if (config.shuffle_scores)
    draw.scored_as = draw.rows.index_select(0, at::randperm(count, generator, at::kLong));
  draw.t = spread_timesteps(count, num_train_timesteps, generator);
  draw.noise = at::randn(shape, generator, at::kFloat);
  return draw;
}

EditBatch edit_batch(const EncodedEdits& set,
                     const EditDraw& draw,
                     const EditTexts& texts,
                     at::Device device) {
  const auto rows_of = [&](const at::Tensor& table) {
    return table.index_select(0, draw.rows).to(at::kFloat);
  };
  const at::Tensor keep = draw.dropped.image.logical_not().to(at::kFloat).view({-1, 1, 1, 1});
  const at::Tensor scores = set.scores.index_select(0, draw.scored_as);
  const at::Tensor valid = at::logical_and(scores.isfinite(), draw.dropped.axes.logical_not());
  EditBatch batch;
  batch.latents = data::to_device(rows_of(set.mean) + rows_of(set.std) * draw.posterior, device);
  batch.source = data::to_device(rows_of(set.source) * keep, device);
  batch.hidden = data::to_device(
      texts.hidden(texts_at(set.instructions, draw.rows, draw.dropped.text)), device);
  batch.reward = {data::to_device(scores, device), data::to_device(valid, device), {}};
  if (texts.pooled) {
    batch.reward.text = data::to_device(
        texts.pooled(texts_at(set.feedback, draw.scored_as, draw.dropped.feedback)), device);
  }
  batch.t = data::to_device(draw.t, device);
  batch.noise = data::to_device(draw.noise, device);
  return batch;
}

at::Tensor edit_errors(const diffusion::Network& unet,
                       const diffusion::NoiseSchedule& schedule,
                       const EditBatch& batch) {
  const at::Tensor x = diffusion::add_noise(schedule, batch.latents, batch.noise, batch.t);
  const at::Tensor target =
      diffusion::training_target(schedule, batch.latents, batch.noise, batch.t);
  diffusion::ExtraConditions added;
  added.reward = batch.reward;
  const at::Tensor output =
      diffusion::forward(unet, at::cat({x, batch.source}, 1), batch.t, batch.hidden, added);
  return (output.to(at::kFloat) - target).square().flatten(1).mean(1);
}

}  // namespace finetune
