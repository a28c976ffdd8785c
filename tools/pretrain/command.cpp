#include "tools/pretrain/command.hpp"

#include <iostream>

#include "data/base/error.hpp"
#include "tools/commands.hpp"

namespace tools {
namespace {

const std::vector<Command>& models() {
  static const std::vector<Command> list = {
      {"vae", "the latent autoencoder (AutoencoderKL)", pretrain_vae},
      {"clip", "the CLIP, its text encoder and tokenizer", pretrain_clip},
      {"unet", "the text-conditional UNet of a latent-diffusion checkpoint", pretrain_unet},
  };
  return list;
}

void print_help() {
  std::cout << "laurel pretrain <model> [options]\n"
               "Trains a model from nothing, on the built-in world of scenes or on a folder of "
               "captioned images.\n\n";
  for (const auto& model : models())
    std::cout << "  " << std::string(model.name) << "   " << model.summary << "\n";
  std::cout << "\n`laurel pretrain <model> --help` tells more.\n";
}

}  // namespace

int cmd_pretrain(const std::vector<std::string>& arguments) {
  if (arguments.empty() || arguments[0] == "--help" || arguments[0] == "-h") {
    print_help();
    return arguments.empty() ? 2 : 0;
  }
  std::vector<std::string> names;
  for (const auto& model : models()) {
    if (arguments[0] == model.name) return model.run({arguments.begin() + 1, arguments.end()});
    names.emplace_back(model.name);
  }
  const std::string near = data::nearest(arguments[0], names);
  throw data::BadInput("pretrain: unknown model '" + arguments[0] + "'" +
                       (near.empty() ? "" : ", did you mean " + near + "?") +
                       " (`laurel pretrain --help` lists all)");
}

}  // namespace tools
