#include "tools/train_reward/pairs_data.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <map>
#include <set>

#include "data/base/error.hpp"
#include "rewards/pairs/davidson.hpp"

namespace fs = std::filesystem;
using data::BadInput;

namespace tools {
namespace {

constexpr size_t kMostPeople = 200;
constexpr size_t kFewestAnswers = 8;
constexpr int64_t kMostNumbers = int64_t{1} << 28;  // of answers times features: 2 GiB
constexpr const char* kUnnamed = "unnamed";

// Numbers texts in order of their first use.
class Numbering {
 public:
  int64_t of(const std::string& text) {
    return numbers_.try_emplace(text, static_cast<int64_t>(numbers_.size())).first->second;
  }
  int64_t count() const { return static_cast<int64_t>(numbers_.size()); }

 private:
  std::map<std::string, int64_t> numbers_;
};

// Pictures with their prompts, each once.
class Items {
 public:
  int64_t of(const fs::path& file, const std::string& prompt) {
    const auto [place, fresh] =
        items_.try_emplace({file.string(), prompt}, static_cast<int64_t>(jobs_.size()));
    if (fresh) {
      jobs_.push_back({.path = file, .prompt = prompt, .row = jobs_.size()});
      images_.push_back(files_.of(file.lexically_normal().string()));
      prompt_numbers_.push_back(prompt.empty() ? -1 : prompts_.of(prompt));
    }
    return place->second;
  }
  const std::vector<ScoreJob>& jobs() const { return jobs_; }
  const std::vector<int64_t>& images() const { return images_; }
  const std::vector<int64_t>& prompts() const { return prompt_numbers_; }
  int64_t files() const { return files_.count(); }

 private:
  std::map<std::pair<std::string, std::string>, int64_t> items_;
  Numbering files_, prompts_;
  std::vector<ScoreJob> jobs_;
  std::vector<int64_t> images_, prompt_numbers_;
};

std::vector<std::string> people_in(const rewards::Choices& choices) {
  std::set<std::string> names;
  for (const auto& pair : choices.pairs) names.insert(pair.person);
  for (const auto& like : choices.likes) names.insert(like.person);
  return {names.begin(), names.end()};
}

rewards::TasteAnswer answer_of(
    const rewards::Choice& pair, int64_t a, int64_t b, int64_t person, double margin_scale) {
  rewards::TasteAnswer answer{a, b, rewards::kTied, person, pair.weight};
  const double label = rewards::label_of(pair.answer);
  if (label == 0.5) return answer;
  const double p = pair.p.value_or(label);
  answer.outcome = label == 1 ? rewards::kWonA : rewards::kWonB;
  answer.p = label == 1 ? p : 1 - p;
  answer.margin = margin_scale * pair.margin;
  return answer;
}

// The answers, and which of them counts as a pair, a tie, a like.
void add_answers(const rewards::Choices& choices,
                 const std::map<std::string, int64_t>& person_number,
                 double margin_scale,
                 Items& items,
                 std::vector<rewards::TasteAnswer>& answers) {
  const auto person = [&](const std::string& name) {
    const auto found = person_number.find(name);
    return found == person_number.end() ? 0 : found->second;
  };
  for (const auto& pair : choices.pairs) {
    const int64_t a = items.of(pair.a, pair.prompt), b = items.of(pair.b, pair.prompt);
    const int64_t who = person(pair.person);
    answers.push_back(answer_of(pair, a, b, who, margin_scale));
    if (pair.answer != rewards::Answer::kBothBad) continue;
    for (const int64_t bad : {a, b}) answers.push_back({bad, -1, rewards::kWonB, who, pair.weight});
  }
  for (const auto& like : choices.likes)
    answers.push_back({items.of(like.image, like.prompt), -1,
                       like.liked ? rewards::kWonA : rewards::kWonB, person(like.person),
                       like.weight});
}

// Keeps the items that were read and the answers about them.
void keep_read(const EmbeddedPictures& pictures, const Items& items, rewards::TasteData& data) {
  std::vector<int64_t> rows, number(pictures.read.size(), -1);
  for (size_t i = 0; i < pictures.read.size(); ++i) {
    if (!pictures.read[i]) continue;
    number[i] = static_cast<int64_t>(rows.size());
    rows.push_back(static_cast<int64_t>(i));
    data.images.push_back(items.images()[i]);
    data.prompts.push_back(items.prompts()[i]);
  }
  const at::Tensor kept = at::tensor(rows, at::kLong);
  data.embeddings = pictures.embeddings.index_select(0, kept);
  data.scores = pictures.scores.index_select(0, kept);
  const auto place = [&](int64_t item) { return number[static_cast<size_t>(item)]; };
  std::erase_if(data.answers, [&](rewards::TasteAnswer& answer) {
    const bool lost = place(answer.a) < 0 || (answer.b >= 0 && place(answer.b) < 0);
    if (lost) return true;
    answer.a = place(answer.a);
    if (answer.b >= 0) answer.b = place(answer.b);
    return false;
  });
}

void check(const rewards::TasteData& data) {
  if (data.answers.size() < kFewestAnswers)
    throw BadInput("expected at least 8 choices of readable pictures, found " +
                   std::to_string(data.answers.size()));
  const bool decided = std::any_of(data.answers.begin(), data.answers.end(),
                                   [](const auto& one) { return one.outcome != rewards::kTied; });
  if (!decided) throw BadInput("expected a decided choice, found ties only");
  const int64_t width = data.embeddings.size(1) + data.scores.size(1) + 1;
  if (static_cast<int64_t>(data.answers.size()) > kMostNumbers / width)
    throw BadInput("expected at most " + std::to_string(kMostNumbers / width) +
                   " choices for a CLIP of this width, found " +
                   std::to_string(data.answers.size()) + "; train on a part of them");
}

}  // namespace

rewards::Choices read_all_choices(const std::vector<std::string>& paths) {
  rewards::Choices all;
  const auto append = [](auto& to, auto&& from) {
    to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
  };
  for (const auto& path : paths) {
    auto choices = rewards::read_choices(path);
    append(all.pairs, choices.pairs);
    append(all.likes, choices.likes);
    append(all.left_out, choices.left_out);
  }
  return all;
}

bool have_prompts(const rewards::Choices& choices) {
  const auto has = [](const auto& one) { return !one.prompt.empty(); };
  return std::all_of(choices.pairs.begin(), choices.pairs.end(), has) &&
         std::all_of(choices.likes.begin(), choices.likes.end(), has);
}

TasteInput taste_input(const rewards::Choices& choices,
                       const std::shared_ptr<rewards::ClipEmbedder>& clip,
                       const std::vector<rewards::WeightedReward>& rewards,
                       double margin_scale,
                       const ScoringOptions& options) {
  TasteInput input;
  input.left_out = choices.left_out;
  auto names = people_in(choices);
  input.too_many_people = names.size() > kMostPeople;
  if (input.too_many_people) names = {""};
  std::map<std::string, int64_t> person_number;
  for (const auto& name : names) {
    person_number.emplace(name, static_cast<int64_t>(input.data.people.size()));
    input.data.people.push_back(name.empty() ? kUnnamed : name);
  }
  Items items;
  add_answers(choices, person_number, margin_scale, items, input.data.answers);
  const auto pictures = embed_pictures(items.jobs(), clip, rewards, options);
  input.left_out.insert(input.left_out.end(), pictures.faults.begin(), pictures.faults.end());
  keep_read(pictures, items, input.data);
  for (const auto& reward : rewards) input.data.rewards.push_back(reward.reward.info.name);
  check(input.data);
  input.pictures = static_cast<int64_t>(
      std::set<int64_t>(input.data.images.begin(), input.data.images.end()).size());
  for (const auto& answer : input.data.answers) {
    input.pairs += answer.b >= 0;
    input.ties += answer.outcome == rewards::kTied;
    input.likes += answer.b < 0;
    input.soft += answer.p < 1;
  }
  return input;
}

}  // namespace tools
