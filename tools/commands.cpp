#include "tools/commands.hpp"

namespace tools {

// One line per subcommand, in the order of `laurel --help`; each is defined in cmd_<name>.cpp.
const std::vector<Command>& all_commands() {
  static const std::vector<Command> commands = {
      {"sample", "turn prompts into images; keep the best of several", cmd_sample},
      {"edit", "change images as an instruction says, at a reward that is asked for", cmd_edit},
      {"score", "rate images with rewards: a table, JSONL or CSV", cmd_score},
      {"rank", "order the images of each prompt, best first", cmd_rank},
      {"eval-pairs", "a reward's agreement with people's choices", cmd_eval_pairs},
      {"bon-curve", "best-of-n against KL and a gold reward", cmd_bon_curve},
      {"judge", "ask a vision-language server about images", cmd_judge},
      {"train-reward", "fit a reward to ratings, a community's log or a judge", cmd_train_reward},
      {"finetune", "teach the UNet to earn more reward: prdp, ddpo; to edit images", cmd_finetune},
      {"distill", "few-step sampling from a model, guided by reward: LCD, RG-LCD", cmd_distill},
      {"pretrain", "train a VAE, CLIP or UNet from nothing", cmd_pretrain},
      {"merge", "LoRAs and checkpoints into one; a LoRA out of two", cmd_merge},
      {"world", "draw captioned scenes of the built-in world; check its oracle", cmd_world},
      {"gallery", "runs or folders of images -> one offline HTML page", cmd_gallery},
      {"inspect", "tell what a model file, a folder or an image is", cmd_inspect},
      {"doctor", "tell what this machine can do and what is missing", cmd_doctor},
      {"bench", "speed and memory of each stage on this machine", cmd_bench},
  };
  return commands;
}

}  // namespace tools
