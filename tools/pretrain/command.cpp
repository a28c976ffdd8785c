#include "tools/pretrain/command.hpp"

#include <iostream>

#include "tools/cli/failure.hpp"
#include "tools/pretrain/clip.hpp"
#include "tools/pretrain/flow.hpp"
#include "tools/pretrain/unet.hpp"
#include "tools/pretrain/vae.hpp"

namespace tools {
namespace {

const CommandList& pretrained_models() {
  static const CommandList list = {&kPretrainVae, &kPretrainClip, &kPretrainUnet, &kPretrainFlow};
  return list;
}

int pretrain_command(const std::vector<std::string>& arguments) {
  if (!asks_for_help(arguments))
    return run_command(pretrained_models(), "laurel pretrain", arguments);
  std::cout << "laurel pretrain <model> [options]\n"
               "Trains a model from random weights, on the built-in world of scenes or on a folder "
               "of captioned images.\n\n"
            << command_lines(pretrained_models(), 7)
            << "\n`laurel pretrain <model> --help` lists its options.\n";
  return arguments.empty() ? kBadInput : 0;
}

}  // namespace

const Command kPretrain{"pretrain",
                        "train a VAE, CLIP, UNet or flow transformer from random weights",
                        pretrain_command, pretrained_models, /*has_options=*/false};

}  // namespace tools
