#include "tools/finetune/choice_files.hpp"

#include <set>

#include "data/base/error.hpp"
#include "data/base/log.hpp"
#include "rewards/pairs/choices.hpp"

namespace tools {

std::vector<finetune::ImageChoice> read_image_choices(const std::string& path,
                                                      bool single,
                                                      double margin_scale) {
  const rewards::Choices read = rewards::read_choices(path);
  for (const auto& line : read.left_out) data::log_error(line);
  std::vector<finetune::ImageChoice> choices;
  for (const auto& pair : read.pairs) {
    if (pair.answer != rewards::Answer::kBothBad) {
      const double p = pair.p.value_or(rewards::label_of(pair.answer));
      const double scale = pair.answer == rewards::Answer::kTie ? 0 : margin_scale;
      choices.push_back({pair.prompt, pair.a, pair.b, p, pair.weight, scale * pair.margin});
    } else if (single) {
      choices.push_back({pair.prompt, pair.a, {}, 0, pair.weight});
      choices.push_back({pair.prompt, pair.b, {}, 0, pair.weight});
    }
  }
  for (const auto& like : read.likes) {
    if (single)
      choices.push_back({like.prompt, like.image, {}, like.liked ? 1.0 : 0.0, like.weight});
  }
  if (choices.empty())
    throw data::BadInput(path +
                         ": expected choices between two images, found none; likes of one image "
                         "teach kto");
  const size_t all = read.pairs.size() + read.likes.size();
  if (!single && choices.size() < all)
    data::log_error(path + ": " + std::to_string(all - choices.size()) +
                    " answers that prefer no image of two are left out");
  return choices;
}

std::vector<std::string> prompts_of_choices(const std::vector<finetune::ImageChoice>& choices) {
  std::vector<std::string> prompts;
  std::set<std::string> known;
  for (const auto& choice : choices) {
    if (known.insert(choice.prompt).second) prompts.push_back(choice.prompt);
  }
  return prompts;
}

std::vector<finetune::ImageChoice> without_prompts(
    const std::vector<finetune::ImageChoice>& choices,
    const std::vector<finetune::TrainingPrompt>& held_out) {
  std::set<std::string> texts;
  for (const auto& prompt : held_out) texts.insert(prompt.text);
  std::vector<finetune::ImageChoice> kept;
  for (const auto& choice : choices) {
    if (texts.count(choice.prompt) == 0) kept.push_back(choice);
  }
  if (kept.size() < choices.size())
    data::log_error("pairs: " + std::to_string(choices.size() - kept.size()) +
                    " choices of prompts that are kept back for the evaluation are left out");
  if (kept.empty())
    throw data::BadInput(
        "pairs: expected choices of prompts that are not kept back for the evaluation, found none; "
        "name other prompts with --validation_prompts");
  return kept;
}

}  // namespace tools
