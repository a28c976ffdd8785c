// `laurel world social-log`: a simulated community looks at pictures.

#include "tools/world/social_log.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/grad_mode.h>

#include <iostream>
#include <map>
#include <nlohmann/json.hpp>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "data/images/image_io.hpp"
#include "data/world/world.hpp"
#include "rewards/world/simulated_community.hpp"
#include "tools/cli/options.hpp"
#include "tools/cli/progress.hpp"
#include "tools/score/image_prompts.hpp"

namespace fs = std::filesystem;
using data::BadInput;

namespace tools {
namespace {

struct Settings {
  std::string images, out;
  int64_t survey_pairs = 0, survey_voters = 25, seed = 0;
  rewards::CommunityOptions community;
};

void declare(Options& options, Settings& s) {
  options.text("images", s.images, "folder of pictures with prompts, several a prompt");
  options.text("out", s.out, "folder for log.jsonl, truth.jsonl and survey.jsonl");
  options.integer("seed", s.seed, "of people and chance", 0);
  options.group("the community");
  options.integer("users", s.community.users, "people", 1, 10000000);
  options.integer("visits_a_prompt", s.community.visits_a_prompt, "lists shown of each", 1, 100000);
  options.number("days", s.community.days, "over which images appear and are seen", 0.01, 10000);
  options.group("its biases");
  options.number("position_bias", s.community.position_bias,
                 "attention at position p: p to the minus this", 0, 10);
  options.number("scroll", s.community.scroll, "probability of looking one further", 0, 1);
  options.number("conformity", s.community.conformity,
                 "log-odds for each doubling of the popularity on show", 0, 10);
  options.number("own_taste", s.community.own_taste, "deviation of a person's leaning", 0, 1);
  options.number("careless", s.community.careless, "share who act on nearly everything", 0, 0.5);
  options.number("rings", s.community.rings, "share who push a few images again and again", 0, 0.5);
  options.group("the survey");
  options.integer("survey_pairs", s.survey_pairs, "pairs a prompt, side by side; 0: no survey", 0,
                  10000);
  options.integer("survey_voters", s.survey_voters, "fresh people a pair", 1, 10000);
}

struct Pictures {
  rewards::SocialLog log;  // prompts and images
  at::Tensor appeals;      // [N, 3]
};

Pictures look_at(const std::string& folder, const fs::path& out) {
  const at::NoGradGuard no_grad;
  Pictures pictures;
  const auto files = data::list_images(folder);
  const auto prompts = prompts_of_images(files, {});
  std::map<std::string, int64_t> rows;
  std::vector<at::Tensor> appeals;
  Progress progress("Looking", static_cast<int64_t>(files.size()), "img");
  for (size_t i = 0; i < files.size(); ++i) {
    if (prompts[i].empty())
      throw BadInput(files[i].string() +
                     ": expected a prompt (NAME.txt, metadata.jsonl or the PNG's "
                     "parameters), found none");
    const auto [row, fresh] =
        rows.emplace(prompts[i], static_cast<int64_t>(pictures.log.prompts.size()));
    if (fresh) pictures.log.prompts.push_back(prompts[i]);
    const fs::path near = fs::absolute(files[i]).lexically_proximate(fs::absolute(out));
    pictures.log.images.push_back({near, row->second});
    const at::Tensor image = data::read_image(files[i]).unsqueeze(0);
    appeals.push_back(rewards::community_appeals(image, {prompts[i]}));
    progress.advance();
  }
  pictures.appeals = at::cat(appeals);
  return pictures;
}

std::string truth_lines(const rewards::SocialLog& log, const at::Tensor& appeal) {
  std::string lines;
  for (size_t i = 0; i < log.images.size(); ++i) {
    const rewards::SocialImage& image = log.images[i];
    lines += data::to_text(nlohmann::ordered_json{
                 {"image", image.file.string()},
                 {"prompt", log.prompts[static_cast<size_t>(image.prompt)]},
                 {"appeal", appeal[static_cast<int64_t>(i)].item<double>()}}) +
             "\n";
  }
  return lines;
}

std::string survey_lines(const rewards::SocialLog& log,
                         const std::vector<rewards::SocialVote>& votes) {
  std::string lines;
  for (const rewards::SocialVote& vote : votes) {
    const auto file = [&](int64_t row) {
      return log.images[static_cast<size_t>(row)].file.string();
    };
    lines += data::to_text(
                 nlohmann::ordered_json{{"prompt", log.prompts[static_cast<size_t>(vote.prompt)]},
                                        {"image_a", file(vote.a)},
                                        {"image_b", file(vote.b)},
                                        {"votes_a", vote.votes_a},
                                        {"votes_b", vote.votes_b}}) +
             "\n";
  }
  return lines;
}

int social_log_command(const std::vector<std::string>& arguments) {
  Settings s;
  Options options(
      "world social-log",
      "A simulated community sees pictures of the built-in world, likes and reuses some "
      "(synthetic).");
  declare(options, s);
  if (!options.parse(arguments).proceed) return 0;
  if (s.images.empty() || s.out.empty())
    throw BadInput("laurel world social-log: expected --images FOLDER and --out FOLDER");
  const fs::path out = s.out;
  if (fs::exists(out / "log.jsonl"))
    throw BadInput("--out " + s.out + ": expected a new folder, found log.jsonl; name another");
  const Pictures pictures = look_at(s.images, out);
  auto generator = at::detail::createCPUGenerator(static_cast<uint64_t>(s.seed));
  const auto log =
      rewards::simulate_community(pictures.log, pictures.appeals, s.community, generator);
  std::string lines;
  for (const auto& event : log.events) lines += rewards::social_line(log, event) + "\n";
  data::write_file(out / "truth.jsonl", truth_lines(log, rewards::mean_appeal(pictures.appeals)));
  if (s.survey_pairs > 0) {
    data::write_file(
        out / "survey.jsonl",
        survey_lines(log, rewards::survey_community(log, pictures.appeals, s.survey_pairs,
                                                    s.survey_voters, s.community, generator)));
  }
  data::write_file(out / "community.toml", options.resolved());
  data::write_file(out / "log.jsonl", lines);
  std::cout << log.events.size() << " events of " << log.users.size() << " people on "
            << log.images.size() << " images for " << log.prompts.size() << " prompts in " << s.out
            << "\n";
  return 0;
}

}  // namespace

const Command kWorldSocialLog{
    "social-log", "a simulated community's log of views, likes and reuses", social_log_command};

}  // namespace tools
