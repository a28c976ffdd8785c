#pragma once

// A folder of images to train on: those that its metadata.jsonl lists, or without one all of them,
// with their captions (data/images/captions.hpp).

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <string>
#include <vector>

namespace data {

struct ImageFolder {
  std::filesystem::path folder;
  int64_t resolution = 0;  // pixels of a side
  std::vector<std::filesystem::path> files;
  std::vector<std::string> captions;  // of each file; empty where it has none
  at::Tensor cache;                   // [N, 3, R, R] uint8; undefined where it would not fit
  std::vector<std::string> faults;    // a line for each image that was left out
};

struct ImageFolderOptions {
  int64_t resolution = 64;
  bool require_captions = false;
  int64_t cache_bytes = int64_t{2}
                        << 30;  // decoded once and kept when all fit, else decoded at each use
};

// Lists the folder and, when they fit, decodes its images; else it reads their headers. An image
// that cannot be read, or whose caption cannot, is left out. Throws BadInput when none is left, a
// caption is missing though required, or a line of metadata.jsonl is no JSON, holds no text or
// names a file that is not there.
ImageFolder open_image_folder(const std::filesystem::path& folder,
                              const ImageFolderOptions& options);

// The same for a list of files, without captions. Throws BadInput for an image that cannot be read.
ImageFolder open_images(std::vector<std::filesystem::path> files,
                        int64_t resolution,
                        int64_t cache_bytes = int64_t{2} << 30);

// indices: [B] int64 -> [B, 3, R, R] fp32 in [0, 1], the middle square of each image at the
// folder's resolution
at::Tensor folder_images(const ImageFolder& folder, const at::Tensor& indices);

// The middle square of `image`, resized. image: [3, H, W] -> [3, size, size]
at::Tensor middle_square(const at::Tensor& image, int64_t size);

// Which images to train on and which to keep for measuring; the same for the same count.
struct FolderSplit {
  at::Tensor train;     // [N - held_out] int64, in a random order
  at::Tensor held_out;  // [held_out] int64
};
// At least one image stays on either side. count: >= 2.
FolderSplit split_folder(int64_t count, int64_t held_out);

}  // namespace data
