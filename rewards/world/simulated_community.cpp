#include "rewards/world/simulated_community.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "data/base/shape.hpp"
#include "data/world/random_stream.hpp"
#include "rewards/world/oracle_reward.hpp"
#include "rewards/world/rater_preference.hpp"

namespace rewards {
namespace {

constexpr std::array<double, 3> kShares = {0.55, 0.25, 0.2};
constexpr double kDay = 86400, kStart = 1767225600;  // 2026-01-01
constexpr double kSteepness = 14;                    // log-odds of acting for one unit of appeal
constexpr double kThreshold =
    0.95;  // appeal at which a person acts on half of the images they look at
constexpr double kReuseShare = 0.35;
constexpr double kCarelessShare = 0.85;  // of the images that a careless person sees
constexpr int64_t kRingImages = 3, kRingRepeats = 12;

enum class Habit { kChooses, kCareless, kRing };
struct Person {
  size_t group = 0;
  Habit habit = Habit::kChooses;
  double threshold = kThreshold;
};

double normal(world::RandomStream& random) {  // Irwin-Hall: the sum of twelve uniforms
  double sum = -6;
  for (int i = 0; i < 12; ++i) sum += random.uniform(0, 1);
  return sum;
}

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

Person random_person(const CommunityOptions& options, world::RandomStream& random) {
  Person person;
  double draw = random.uniform(0, 1);
  while (person.group + 1 < kShares.size() && draw > kShares[person.group])
    draw -= kShares[person.group++];
  const double habit = random.uniform(0, 1);
  person.habit = habit < options.careless                   ? Habit::kCareless
                 : habit < options.careless + options.rings ? Habit::kRing
                                                            : Habit::kChooses;
  person.threshold += options.own_taste * normal(random);
  return person;
}

// One list that is shown to one person.
struct Visit {
  double time = 0;
  int64_t user = 0;
  std::vector<int64_t> shown;  // images in their order
};

class Simulation {
 public:
  Simulation(SocialLog log,
             const at::Tensor& appeals,
             const CommunityOptions& options,
             at::Generator& generator)
      : log_(std::move(log)),
        appeals_(appeals.to(at::kDouble).contiguous()),
        options_(options),
        random_(generator),
        popularity_(log_.images.size()),
        of_prompt_(log_.prompts.size()) {
    for (size_t i = 0; i < log_.images.size(); ++i) {
      of_prompt_[static_cast<size_t>(log_.images[i].prompt)].push_back(static_cast<int64_t>(i));
      appears_.push_back(kStart + random_.uniform(0, 0.6) * options.days * kDay);
    }
    for (int64_t i = 0; i < options.users; ++i) {
      people_.push_back(random_person(options, random_));
      log_.users.push_back("u" + std::to_string(i));
    }
  }

  SocialLog run() {
    std::vector<std::pair<double, int64_t>> visits;  // time, prompt
    for (size_t prompt = 0; prompt < log_.prompts.size(); ++prompt) {
      for (int64_t i = 0; i < options_.visits_a_prompt; ++i)
        visits.emplace_back(kStart + random_.uniform(0, 1) * options_.days * kDay,
                            static_cast<int64_t>(prompt));
    }
    std::sort(visits.begin(), visits.end());
    for (const auto& [time, prompt] : visits) visit(time, prompt);
    return std::move(log_);
  }

 private:
  // The most popular first, with some noise.
  std::vector<int64_t> listed(double time, int64_t prompt) {
    std::vector<std::pair<double, int64_t>> order;
    for (const int64_t image : of_prompt_[static_cast<size_t>(prompt)]) {
      if (appears_[static_cast<size_t>(image)] > time) continue;
      const double popular =
          std::log(1.0 + static_cast<double>(popularity_[static_cast<size_t>(image)]));
      order.emplace_back(-popular - 0.5 * normal(random_), image);
    }
    std::sort(order.begin(), order.end());
    std::vector<int64_t> images;
    for (const auto& [rank, image] : order) images.push_back(image);
    return images;
  }

  void visit(double time, int64_t prompt) {
    const int64_t user = random_.below(options_.users);
    const Person& person = people_[static_cast<size_t>(user)];
    int64_t position = 0;
    for (const int64_t image : listed(time, prompt)) {
      ++position;
      time += 1;
      add(time, user, image, SocialAction::kView, position);
      if (acts(person, image, position)) {
        const bool reuses = random_.chance(kReuseShare);
        add(time + 0.5, user, image, reuses ? SocialAction::kReuse : SocialAction::kLike, position);
      }
      if (!random_.chance(options_.scroll)) break;
    }
    if (person.habit == Habit::kRing) push(time, user, prompt);
  }

  bool acts(const Person& person, int64_t image, int64_t position) {
    if (person.habit == Habit::kCareless) return random_.chance(kCarelessShare);
    const auto row = static_cast<size_t>(image);
    const double appeal = appeals_.const_data_ptr<double>()[kShares.size() * row + person.group];
    const double crowd =
        options_.conformity * std::log2(1.0 + static_cast<double>(popularity_[row]));
    const double looks = std::pow(static_cast<double>(position), -options_.position_bias);
    return random_.chance(looks * sigmoid(kSteepness * (appeal - person.threshold) + crowd));
  }

  // A ring reuses the same few images of the prompt repeatedly.
  void push(double time, int64_t user, int64_t prompt) {
    const auto& images = of_prompt_[static_cast<size_t>(prompt)];
    for (int64_t i = 0; i < kRingRepeats; ++i) {
      const auto pick = static_cast<size_t>((user + i % kRingImages)) % images.size();
      if (appears_[static_cast<size_t>(images[pick])] <= time)
        add(time + static_cast<double>(i), user, images[pick], SocialAction::kReuse, 0);
    }
  }

  void add(double time, int64_t user, int64_t image, SocialAction action, int64_t position) {
    log_.events.push_back({time, user, image, action, position});
    popularity_[static_cast<size_t>(image)] += action != SocialAction::kView;
  }

  SocialLog log_;
  at::Tensor appeals_;  // [images, groups]
  CommunityOptions options_;
  world::RandomStream random_;
  std::vector<int64_t> popularity_;
  std::vector<std::vector<int64_t>> of_prompt_;
  std::vector<double> appears_;
  std::vector<Person> people_;
};

}  // namespace

at::Tensor community_appeals(const at::Tensor& images, const std::vector<std::string>& prompts) {
  const PreferenceParts parts = preference_parts(images);
  const at::Tensor fit = claim_shares(images, prompts, OraclePart::kObjects).to(at::kCPU);
  const at::Tensor bold = 0.3 * fit + 0.2 * parts.contrast + 0.2 * parts.saturation +
                          0.15 * parts.size + 0.15 * parts.clarity;
  const at::Tensor moody =
      0.3 * fit + 0.35 * (1 - parts.ground) + 0.2 * parts.clarity + 0.15 * parts.balance;
  const at::Tensor literal = 0.7 * fit + 0.3 * parts.clarity;
  return at::stack({bold, moody, literal}, 1);
}

at::Tensor mean_appeal(const at::Tensor& appeals) {
  data::check_shape(appeals, {-1, static_cast<int64_t>(kShares.size())}, "mean_appeal: appeals");
  return appeals.matmul(at::tensor(at::ArrayRef<double>(kShares)).to(appeals));
}

SocialLog simulate_community(SocialLog log,
                             const at::Tensor& appeals,
                             const CommunityOptions& options,
                             at::Generator& generator) {
  data::check_shape(appeals, {static_cast<int64_t>(log.images.size()), 3},
                    "simulate_community: appeals");
  return Simulation(std::move(log), appeals, options, generator).run();
}

std::vector<SocialVote> survey_community(const SocialLog& log,
                                         const at::Tensor& appeals,
                                         int64_t pairs_a_prompt,
                                         int64_t voters,
                                         const CommunityOptions& options,
                                         at::Generator& generator) {
  world::RandomStream random(generator);
  std::vector<std::vector<int64_t>> of_prompt(log.prompts.size());
  for (size_t i = 0; i < log.images.size(); ++i)
    of_prompt[static_cast<size_t>(log.images[i].prompt)].push_back(static_cast<int64_t>(i));
  const at::Tensor seen = appeals.to(at::kDouble);
  std::vector<SocialVote> votes;
  for (size_t prompt = 0; prompt < of_prompt.size(); ++prompt) {
    const auto count = static_cast<int64_t>(of_prompt[prompt].size());
    for (int64_t pair = 0; pair < pairs_a_prompt && count >= 2; ++pair) {
      const int64_t first = random.below(count),
                    second = (first + 1 + random.below(count - 1)) % count;
      SocialVote vote{.prompt = static_cast<int64_t>(prompt),
                      .a = of_prompt[prompt][static_cast<size_t>(first)],
                      .b = of_prompt[prompt][static_cast<size_t>(second)]};
      const at::Tensor difference = seen[vote.a] - seen[vote.b];  // [groups]
      for (int64_t voter = 0; voter < voters; ++voter) {
        const Person person = random_person(options, random);
        const double own = difference[static_cast<int64_t>(person.group)].item<double>() +
                           options.own_taste * normal(random);
        (random.chance(sigmoid(kSteepness * own)) ? vote.votes_a : vote.votes_b) += 1;
      }
      votes.push_back(vote);
    }
  }
  return votes;
}

}  // namespace rewards
