#include "tools/world/command.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <cstdio>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/format.hpp"
#include "data/base/json.hpp"
#include "data/images/image_io.hpp"
#include "data/world/oracle_check.hpp"
#include "data/world/scene.hpp"
#include "tools/cli/options.hpp"
#include "tools/world/edits.hpp"
#include "tools/world/judge_server.hpp"
#include "tools/world/social_log.hpp"
#include "tools/world/voter.hpp"

namespace tools {
namespace {

struct WorldConfig {
  std::string out;
  std::string split = "seen";
  int64_t count = 16;
  int64_t seed = 0;
  bool check = false;
};

std::string share(double value) {
  char text[16];
  std::snprintf(text, sizeof text, "%8.2f", 100 * value);
  return text;
}

void print_row(const std::string& name, const world::OracleAccuracy& row) {
  std::cout << name << share(row.count) << share(row.kind) << share(row.colour) << share(row.size)
            << share(row.background) << share(row.true_captions) << share(row.false_captions)
            << std::endl;
}

// The table of docs/world.md.
void check(const WorldConfig& config) {
  std::cout << "per cent correct of " << config.count << " scenes\n"
            << "blur  noise   count    kind  colour    size backgr.  true c. false c.\n";
  double milliseconds = 0;
  for (const world::Disturbance& disturbance : std::initializer_list<world::Disturbance>{
           {0, 0}, {0.5, 0}, {1, 0}, {1.5, 0}, {2, 0}, {0, 0.02}, {0, 0.05}, {0, 0.1}, {1, 0.05}}) {
    auto generator = at::detail::createCPUGenerator(static_cast<uint64_t>(config.seed));
    const auto row = world::check_oracle(config.count, disturbance, generator);
    char name[16];
    std::snprintf(name, sizeof name, "%4.1f %6.2f", disturbance.blur, disturbance.noise);
    print_row(name, row);
    if (disturbance.blur + disturbance.noise == 0) milliseconds = row.milliseconds;
  }
  std::cout << data::formatted("%.2f ms per image (clean)\n", milliseconds);
}

// Writes NAME.png, NAME.txt (captions as kohya's trainers read them) and metadata.jsonl (as Hugging
// Face's tools read them).
void draw(const WorldConfig& config) {
  const std::filesystem::path folder = config.out;
  if (std::filesystem::exists(folder / "metadata.jsonl")) {
    throw data::BadInput("--out " + config.out +
                         ": expected an empty or new folder, found metadata.jsonl; name another");
  }
  const auto split = config.split == "seen" ? world::Split::kSeen : world::Split::kUnseen;
  auto generator = at::detail::createCPUGenerator(static_cast<uint64_t>(config.seed));
  std::string metadata;
  for (int64_t index = 0; index < config.count; ++index) {
    const world::SceneBatch one = world::random_batch(1, split, generator);
    char name[16];
    std::snprintf(name, sizeof name, "%06d", static_cast<int>(index));
    data::write_png(folder / (std::string(name) + ".png"), one.images[0]);
    data::write_file(folder / (std::string(name) + ".txt"), one.captions[0] + "\n");
    const nlohmann::json line{{"file_name", std::string(name) + ".png"}, {"text", one.captions[0]}};
    metadata += data::to_text(line) + "\n";
  }
  data::write_file(folder / "metadata.jsonl", metadata);
  std::cout << config.count << " scenes with captions in " << config.out << "\n";
}

// `laurel world` itself draws captioned scenes.
const CommandList& world_subcommands() {
  static const CommandList list = {&kWorldSocialLog, &kWorldJudgeServer, &kWorldEdits,
                                   &kWorldEditScores, &kWorldVoter};
  return list;
}

int world_command(const std::vector<std::string>& arguments) {
  if (!arguments.empty() && find_command(world_subcommands(), arguments[0]))
    return run_command(world_subcommands(), "laurel world", arguments);
  WorldConfig config;
  Options options("world",
                  "Draws captioned scenes of the built-in (synthetic) world, or checks its oracle.",
                  "[social-log | judge-server | edits | edit-scores | voter]");
  options.text("out", config.out, "folder for pictures and captions");
  options.integer("count", config.count, "scenes to draw, or to check per row", 1, 1000000);
  options.choice("split", config.split, {"seen", "unseen"}, "combinations of colour and shape");
  options.integer("seed", config.seed, "equal seeds draw equal scenes", 0);
  options.flag("check", config.check, "print the oracle's accuracy on clean and disturbed scenes");
  const auto parsed = options.parse(arguments);
  if (!parsed.proceed) return 0;
  if (!parsed.positional.empty()) {
    throw data::BadInput("laurel world: expected options only, found '" + parsed.positional[0] +
                         "'");
  }
  if (config.out.empty() && !config.check) {
    throw data::BadInput("laurel world: expected --out FOLDER or --check, found neither");
  }
  if (config.check) check(config);
  if (!config.out.empty()) draw(config);
  return 0;
}

}  // namespace

const Command kWorld{"world", "draw captioned scenes of the built-in world; check its oracle",
                     world_command, world_subcommands};

}  // namespace tools
