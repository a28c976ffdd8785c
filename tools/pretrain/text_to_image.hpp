#pragma once

// What the commands that pretrain a text-to-image network share: options, data, the checkpoint's
// README.md.

#include <functional>
#include <string>

#include "data/world/scene.hpp"
#include "diffusion/checkpoints/diffusers_folder.hpp"
#include "finetune/pretrain/text_to_image.hpp"
#include "tools/cli/captioned_data.hpp"
#include "tools/cli/options.hpp"

namespace tools {

struct PretrainConfig {
  finetune::PretrainOptions train;
  std::string output_dir, folder, vae, text_encoder, tokenizer;
  int64_t resolution = world::kCanvas;
  int64_t images = 40000, held_out = 512, exam_prompts = 64;
};
void declare_data(Options& options, PretrainConfig& s);
void declare_optimisation(Options& options, PretrainConfig& s);
void declare_exam(Options& options, PretrainConfig& s);

// Throws BadInput when a folder is not given, or output_dir has a run that is not resumed.
void check_folders(const std::string& command, PretrainConfig& s);

// Encoded captions and images, which are stored in the run's folder, so that an interrupted run
// resumes quickly.
struct PretrainData {
  data::ImageFolder images;  // of the folder, where there is one
  finetune::EncodedImages train, held_out;
  std::vector<finetune::ExamSet> exams;
};
PretrainData pretrain_data(const PretrainConfig& s, const diffusion::Vae& vae);
finetune::LatentSet with_text(const PretrainConfig& s,
                              const finetune::EncodedImages& images,
                              const diffusion::Pipeline& parts);

// Trains, and writes output_dir/checkpoint. `network` says what it is: "UNet". `says`: what its
// held-out loss is the error of. -> the exit code
int pretrain_and_save(const PretrainConfig& s,
                      const finetune::PretrainObjective& objective,
                      diffusion::Pipeline& parts,
                      const PretrainData& data,
                      const std::string& network,
                      const std::string& says);

void say(const std::string& line);

}  // namespace tools
