#pragma once

// Captioned images to train on: scenes of the built-in world, or the images of a folder.

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
  std::string name;  // identifies the data in a file of encoded images
};
// `count` scenes of seen combinations; with `held_out`, of unseen ones. `seed` is the run's.
CaptionedData world_data(int64_t count, int64_t seed, bool held_out);
// Every image of the training part, or of the held-out part, once and in order; at most a tenth is
// held out. `images` must outlive the result. Throws BadInput for fewer than two images.
CaptionedData folder_data(const data::ImageFolder& images,
                          const std::string& folder,
                          int64_t held_out_count,
                          bool held_out);

// Opens the folder, and names on standard error the images that are left out. Throws as
// data::open_image_folder.
data::ImageFolder open_training_images(const std::filesystem::path& folder,
                                       const data::ImageFolderOptions& options);
// The exit code of a command that has done its work on them: that of bad input where some were left
// out.
int exit_code_of(const data::ImageFolder& images);

// Encodes the images and writes them to the file `keep`, or reads them from it when it exists; an
// empty path stores nothing. Throws BadInput when the file has other images. `vae_name` identifies
// the autoencoder in the file.
finetune::EncodedImages encoded_images(const diffusion::Vae& vae,
                                       const std::string& vae_name,
                                       const CaptionedData& data,
                                       const finetune::EncodeOptions& options,
                                       const std::filesystem::path& keep,
                                       const std::function<void(const std::string&)>& print);

}  // namespace tools
