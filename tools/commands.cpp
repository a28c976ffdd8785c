#include "tools/commands.hpp"

#include "tools/bench/command.hpp"
#include "tools/bench_rewards/command.hpp"
#include "tools/checkpoints/inspect_command.hpp"
#include "tools/checkpoints/merge_command.hpp"
#include "tools/doctor/command.hpp"
#include "tools/edit/command.hpp"
#include "tools/finetune/command.hpp"
#include "tools/finetune/distill/command.hpp"
#include "tools/gallery/command.hpp"
#include "tools/judge/command.hpp"
#include "tools/pairs/command.hpp"
#include "tools/pretrain/command.hpp"
#include "tools/reference/completion_command.hpp"
#include "tools/reference/man_command.hpp"
#include "tools/reference/schema_command.hpp"
#include "tools/sample/command.hpp"
#include "tools/score/bon_curve_command.hpp"
#include "tools/score/command.hpp"
#include "tools/score/eval_pairs_command.hpp"
#include "tools/score/rank_command.hpp"
#include "tools/studio/command.hpp"
#include "tools/train_reward/command.hpp"
#include "tools/world/command.hpp"
#include "tools/write_reward/command.hpp"

namespace tools {

const CommandList& all_commands() {
  // clang-format off
  static const CommandList commands = {
      &kSample,
      &kEdit,
      &kScore,
      &kRank,
      &kEvalPairs,
      &kBonCurve,
      &kBenchRewards,
      &kWriteReward,
      &kJudge,
      &kPairs,
      &kTrainReward,
      &kFinetune,
      &kDistill,
      &kPretrain,
      &kMerge,
      &kWorld,
      &kGallery,
      &kVote,
      &kStudio,
      &kInspect,
      &kDoctor,
      &kBench,
      &kSchema,
      &kCompletion,
      &kMan,
  };
  // clang-format on
  return commands;
}

}  // namespace tools
