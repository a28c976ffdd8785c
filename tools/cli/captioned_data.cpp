#include "tools/cli/captioned_data.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>

#include "data/base/error.hpp"
#include "data/base/log.hpp"
#include "data/unicode/utf8.hpp"
#include "data/world/scene.hpp"
#include "tools/cli/failure.hpp"

namespace tools {

CaptionedData world_data(int64_t count, int64_t seed, bool held_out) {
  const world::Split split = held_out ? world::Split::kUnseen : world::Split::kSeen;
  const auto draw = [split](int64_t batch_size, at::Generator& generator) {
    auto batch = world::random_batch(batch_size, split, generator);
    return finetune::CaptionedImages{batch.images, batch.captions};
  };
  CaptionedData data{{"the built-in world of scenes", draw}, count, 0, ""};
  data.seed = static_cast<uint64_t>(seed) * 2 + (held_out ? 2 : 1);
  data.name = std::to_string(count) + " scenes of seed " + std::to_string(data.seed);
  return data;
}

CaptionedData folder_data(const data::ImageFolder& images,
                          const std::string& folder,
                          int64_t held_out_count,
                          bool held_out) {
  const auto count = static_cast<int64_t>(images.files.size());
  if (count < 2)
    throw data::BadInput(folder + ": expected at least 2 images, found " + std::to_string(count));
  const auto split = data::split_folder(count, std::min(held_out_count, count / 10));
  const at::Tensor part = held_out ? split.held_out : split.train;
  const auto draw = [&images, part, done = int64_t{0}](int64_t batch, at::Generator&) mutable {
    const at::Tensor picks = part.slice(0, done, done + batch);
    done += batch;
    finetune::CaptionedImages drawn{data::folder_images(images, picks), {}};
    for (int64_t i = 0; i < picks.size(0); ++i)
      drawn.captions.push_back(images.captions[picks[i].item<int64_t>()]);
    return drawn;
  };
  return {{"the images of a folder", draw},
          part.size(0),
          0,
          std::to_string(count) + " images of " + folder};
}

data::ImageFolder open_training_images(const std::filesystem::path& folder,
                                       const data::ImageFolderOptions& options) {
  data::ImageFolder images = data::open_image_folder(folder, options);
  for (const auto& fault : images.faults) data::log_error(data::printable(fault));
  if (!images.faults.empty())
    data::log_error(std::to_string(images.faults.size()) + " of " +
                    std::to_string(images.faults.size() + images.files.size()) +
                    " images left out, see above");
  return images;
}

int exit_code_of(const data::ImageFolder& images) { return images.faults.empty() ? 0 : kBadInput; }

finetune::EncodedImages encoded_images(const diffusion::Vae& vae,
                                       const std::string& vae_name,
                                       const CaptionedData& data,
                                       const finetune::EncodeOptions& options,
                                       const std::filesystem::path& keep,
                                       const std::function<void(const std::string&)>& print) {
  const std::string origin = data.name + " by " + vae_name;
  if (!keep.empty() && std::filesystem::exists(keep))
    return finetune::load_encoded_images(keep, origin);
  auto generator = at::detail::createCPUGenerator(data.seed);
  const finetune::EncodedImages images =
      finetune::encode_images(vae, data.source, options, generator, print);
  if (!keep.empty()) finetune::save_encoded_images(keep, images, origin);
  return images;
}

}  // namespace tools
