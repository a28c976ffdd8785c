#pragma once

// Hugging Face's cache of downloaded models, read without a network.

#include <filesystem>
#include <string>

namespace data {

// Looks like a model's name on the hub, "org/name", or a file of one, "org/name/file".
bool is_hub_name(const std::string& text);

// The cache's folder: $HF_HUB_CACHE, $HUGGINGFACE_HUB_CACHE, $HF_HOME/hub,
// $XDG_CACHE_HOME/huggingface/hub, else ~/.cache/huggingface/hub.
std::filesystem::path hub_cache_folder();

// Where the cache keeps "org/name" (its snapshot of the branch main, or the only one), or the file
// "org/name/file". Throws BadInput, saying where it looked and how to download, when it does not.
std::filesystem::path find_in_hub_cache(const std::string& name);

}  // namespace data
