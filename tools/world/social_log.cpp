// `laurel world social-log`: simulates a community that views pictures.

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
#include "data/images/image_files.hpp"
#include "data/images/image_io.hpp"
#include "data/world/world.hpp"
#include "rewards/world/simulated_community.hpp"
#include "tools/cli/console/progress.hpp"
#include "tools/cli/options.hpp"
#include "tools/score/image_prompts.hpp"

namespace fs = std::filesystem;
using data::BadInput;

namespace tools {
namespace {

struct SocialLogConfig {
  std::string images, out;
  int64_t survey_pairs = 0, survey_voters = 25, seed = 0;
  rewards::CommunityOptions community;
};

void declare(Options& options, SocialLogConfig& s) {
  options.text("images", s.images, "folder of pictures with prompts, several per prompt");
  options.text("out", s.out, "folder for log.jsonl, truth.jsonl and survey.jsonl");
  options.integer("seed", s.seed, "seed of the simulation", 0);
  options.group("the community");
  options.integer("users", s.community.users, "number of people", 1, 10000000);
  options.integer("visits_a_prompt", s.community.visits_a_prompt, "lists shown per prompt", 1,
                  100000);
  options.number("days", s.community.days, "days over which images appear and are viewed", 0.01,
                 10000);
  options.group("its biases");
  options.number("position_bias", s.community.position_bias,
                 "b: the attention at position p is p^-b", 0, 10);
  options.number("scroll", s.community.scroll, "probability of viewing the next position", 0, 1);
  options.number("conformity", s.community.conformity,
                 "log-odds per doubling of the displayed popularity", 0, 10);
  options.number("own_taste", s.community.own_taste, "standard deviation of personal preferences",
                 0, 1);
  options.number("careless", s.community.careless, "share of people who like nearly everything", 0,
                 0.5);
  options.number("rings", s.community.rings, "share of people who promote a few images together", 0,
                 0.5);
  options.group("the survey");
  options.integer("survey_pairs", s.survey_pairs, "pairs per prompt, side by side; 0: no survey", 0,
                  10000);
  options.integer("survey_voters", s.survey_voters, "new people per pair", 1, 10000);
}

struct RatedPictures {
  rewards::SocialLog log;  // prompts and images
  at::Tensor appeals;      // [N, 3]
};

RatedPictures look_at(const std::string& folder, const fs::path& out) {
  const at::NoGradGuard no_grad;
  RatedPictures pictures;
  const auto files = data::list_images(folder);
  const auto prompts = prompts_of_images(files, {});
  std::map<std::string, int64_t> rows;
  std::vector<at::Tensor> appeals;
  Progress progress("Reading", static_cast<int64_t>(files.size()), "img");
  for (size_t i = 0; i < files.size(); ++i) {
    if (!prompts[i].fault.empty()) throw BadInput(prompts[i].fault);
    if (prompts[i].text.empty())
      throw BadInput(files[i].string() +
                     ": expected a prompt (NAME.txt, metadata.jsonl or the PNG's "
                     "parameters), found none");
    const auto [row, fresh] =
        rows.emplace(prompts[i].text, static_cast<int64_t>(pictures.log.prompts.size()));
    if (fresh) pictures.log.prompts.push_back(prompts[i].text);
    const fs::path near = fs::absolute(files[i]).lexically_proximate(fs::absolute(out));
    pictures.log.images.push_back({near, row->second});
    const at::Tensor image = data::read_image(files[i]).unsqueeze(0);
    appeals.push_back(rewards::community_appeals(image, {prompts[i].text}));
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
  SocialLogConfig s;
  Options options(
      "world social-log",
      "Simulates a community that views, likes and reuses pictures of the built-in world "
      "(synthetic).");
  declare(options, s);
  if (!options.parse(arguments).proceed) return 0;
  if (s.images.empty() || s.out.empty())
    throw BadInput("laurel world social-log: expected --images FOLDER and --out FOLDER");
  const fs::path out = s.out;
  if (fs::exists(out / "log.jsonl"))
    throw BadInput("--out " + s.out + ": expected a new folder, found log.jsonl; name another");
  const RatedPictures pictures = look_at(s.images, out);
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
