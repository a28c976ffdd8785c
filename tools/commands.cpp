#include "tools/commands.hpp"

namespace tools {

// One line per subcommand, in the order of `laurel --help`; each is defined in cmd_<name>.cpp.
const std::vector<Command>& all_commands() {
  static const std::vector<Command> commands = {
      {"pretrain", "train a VAE, CLIP or UNet from nothing", cmd_pretrain},
      {"world", "draw captioned scenes of the built-in world; check its oracle", cmd_world},
      {"gallery", "runs or folders of images -> one offline HTML page", cmd_gallery},
  };
  return commands;
}

}  // namespace tools
