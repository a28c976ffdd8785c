#pragma once

// Captioned images to train on: the built-in world's scenes, or a folder's.

#include <filesystem>
#include <functional>
#include <string>

#include "data/images/image_folder.hpp"
#include "diffusion/networks/vae/vae.hpp"
#include "finetune/datasets/latents.hpp"

namespace tools {

struct CaptionedData {
  finetune::CaptionedSource source;
  int64_t count = 0;
  uint64_t seed = 0;
  std::string name;  // for the record of what was encoded
};
// `count` scenes of seen combinations, or of unseen ones; `seed` is the run's.
CaptionedData world_data(int64_t count, int64_t seed, bool held_out);
// Every image of the folder's part once, in order; at most a tenth is held out. `images` must
// outlive it. Throws BadInput for fewer than two.
CaptionedData folder_data(const data::ImageFolder& images,
                          const std::string& folder,
                          int64_t held_out_count,
                          bool held_out);

// Encodes them, or reads the file where they are kept; an empty path keeps nothing. Throws BadInput
// when the file holds other images. `vae_name`: what the record calls the autoencoder.
finetune::EncodedImages encoded_images(const diffusion::Vae& vae,
                                       const std::string& vae_name,
                                       const CaptionedData& data,
                                       const finetune::EncodeOptions& options,
                                       const std::filesystem::path& keep,
                                       const std::function<void(const std::string&)>& print);

}  // namespace tools
