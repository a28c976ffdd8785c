#pragma once

// The options of `laurel edit`.

#include <string>
#include <vector>

#include "tools/cli/device.hpp"
#include "tools/cli/models.hpp"
#include "tools/cli/options.hpp"
#include "tools/cli/reward_options.hpp"
#include "tools/sample/guides/kinds.hpp"

namespace tools {

struct ImageEditConfig {
  ModelConfig checkpoint;
  std::vector<std::string> image;  // files, folders or patterns
  std::string instruction, negative_prompt;
  std::string batch, image_dir;  // a file of edits; folder of its images, "": that of the file
  std::string output;            // file of a single edit
  std::string output_dir = "edits";
  int64_t count = 1, seed = 0;
  std::string request = "auto";  // "5,5,5", "axis=5,other=4", "none"; auto: the highest
  std::string request_low = "none";
  double request_scale = 1;
  std::string feedback = "auto";  // "None; None; None", as the published model expects
  std::string sweep;              // an axis, or "all"; "": none
  int64_t sweep_points = 6;
  double cfg_text = 7.5, cfg_image = 1.5, guidance_rescale = 0, strength = 1, eta = 0;
  int64_t steps = 30;
  std::string sampling_method, timestep_spacing;
  int64_t resolution = 0;  // of the longer side; 0: the model's
  std::string size;        // "512x384": the image is resized to it
  std::string mask;        // white: edited, black: unchanged
  std::string max_memory;  // "12GB"; empty: no limit
  int64_t batch_size = 4;
  int64_t best_of = 1;
  GuideConfig guide;
  DeltaConfig deltas;
  std::string reward, caption;
  RewardSourceConfig sources;
  DeviceConfig device;
  bool gallery = false, resume = false, vae_tiling = false, no_provenance = false;
};
void declare_edit(Options& options, ImageEditConfig& config);

}  // namespace tools
