#include "tools/studio/voting/exchange.hpp"

#include <algorithm>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "data/storage/relative_path.hpp"
#include "data/storage/sha256.hpp"
#include "rewards/pairs/choices.hpp"
#include "tools/studio/voting/pool.hpp"

namespace fs = std::filesystem;
using nlohmann::ordered_json;

namespace studio {
namespace {

constexpr int64_t kVotesOnce = 1;

std::string prompt_of(const NamedVote& vote) {
  return vote.left->prompt == vote.right->prompt ? vote.left->prompt : "";
}

std::string winner_of(const std::string& answer) {
  return answer == "left" ? "a" : answer == "right" ? "b" : answer;
}

ordered_json laurel_line(const NamedVote& vote, const fs::path& folder) {
  return {{"prompt", prompt_of(vote)},
          {"a", data::relative_path(vote.left->path, folder)},
          {"b", data::relative_path(vote.right->path, folder)},
          {"winner", winner_of(vote.vote->answer)},
          {"person", vote.person}};
}

double worth_of_left(const std::string& answer) {
  return answer == "left" ? 1 : answer == "right" ? 0 : 0.5;
}

// A line of Pick-a-Pic (v2), with paths where it has bytes.
ordered_json pick_line(const NamedVote& vote, const fs::path& folder) {
  const double left = worth_of_left(vote.vote->answer);
  const std::string a = vote.left->sha256.substr(0, 32), b = vote.right->sha256.substr(0, 32);
  return {{"caption", prompt_of(vote)},
          {"image_0", data::relative_path(vote.left->path, folder)},
          {"image_1", data::relative_path(vote.right->path, folder)},
          {"image_0_uid", a},
          {"image_1_uid", b},
          {"label_0", left},
          {"label_1", 1 - left},
          {"best_image_uid", left == 1   ? a
                             : left == 0 ? b
                                         : "tie"},
          {"are_different", a != b},
          {"has_label", true},
          {"model_0", vote.left->run + "/" + vote.left->set},
          {"model_1", vote.right->run + "/" + vote.right->set},
          {"user_id", vote.person},
          {"ranking_id", vote.vote->pair.id},
          {"num_example_per_prompt", kVotesOnce},
          {"created_at", vote.vote->at}};
}

// A line of HPDv2's pairs; it knows no ties.
ordered_json hpd_line(const NamedVote& vote, const fs::path& folder) {
  const double left = worth_of_left(vote.vote->answer);
  if (left == 0.5) return nullptr;
  const ordered_json preference{static_cast<int>(left), static_cast<int>(1 - left)};
  return {{"prompt", prompt_of(vote)},
          {"image_path",
           {data::relative_path(vote.left->path, folder),
            data::relative_path(vote.right->path, folder)}},
          {"human_preference", preference},
          {"raw_annotations", {preference}},
          {"user_hash", vote.person}};
}

using LineOf = ordered_json (*)(const NamedVote& vote, const fs::path& folder);

std::string lines_of(const std::vector<NamedVote>& votes, const fs::path& folder, LineOf line_of) {
  std::string text;
  for (const auto& vote : votes) {
    const ordered_json line = line_of(vote, folder);
    if (!line.is_null()) text += data::to_text(line) + "\n";
  }
  return text;
}

template <LineOf line_of>
void write_lines(const fs::path& file, const std::vector<NamedVote>& votes) {
  data::write_file(file, lines_of(votes, file.parent_path(), line_of));
}

std::string csv_field(const std::string& text) {
  std::string quoted = "\"";
  for (const char letter : text)
    quoted += letter == '"' ? std::string("\"\"") : std::string{letter};
  return quoted + "\"";
}

void write_csv(const fs::path& file, const std::vector<NamedVote>& votes) {
  std::string text = "prompt,a,b,winner,person\n";
  for (const auto& vote : votes) {
    const auto line = laurel_line(vote, file.parent_path());
    std::string row;
    for (const auto& [key, value] : line.items())
      row += (row.empty() ? "" : ",") + csv_field(value.get<std::string>());
    text += row + "\n";
  }
  data::write_file(file, text);
}

void copy_with_caption(const fs::path& from, const fs::path& to, const std::string& prompt) {
  fs::create_directories(to.parent_path());
  fs::copy_file(from, to, fs::copy_options::overwrite_existing);
  if (!prompt.empty()) data::write_file(fs::path(to).replace_extension(".txt"), prompt + "\n");
}

// Decided pairs as pairs of files; `name_of` gives the name of the preferred and of the other one.
void copy_pairs(const std::vector<NamedVote>& votes,
                const std::function<fs::path(const std::string& stem, bool preferred)>& name_of) {
  for (const auto& vote : votes) {
    if (worth_of_left(vote.vote->answer) == 0.5) continue;
    const bool left = vote.vote->answer == "left";
    const std::string stem = std::to_string(vote.vote->pair.id);
    for (const bool preferred : {true, false}) {
      const StoredImage& image = *(left == preferred ? vote.left : vote.right);
      fs::path to = name_of(stem, preferred);
      to += image.path.extension();
      copy_with_caption(image.path, to, preferred ? prompt_of(vote) : "");
    }
  }
}

void write_sides(const fs::path& folder, const std::vector<NamedVote>& votes) {
  copy_pairs(votes, [&](const std::string& stem, bool preferred) {
    return folder / (preferred ? "w" : "l") / stem;
  });
}

void write_siblings(const fs::path& folder, const std::vector<NamedVote>& votes) {
  copy_pairs(votes, [&](const std::string& stem, bool preferred) {
    return folder / (preferred ? stem : stem + "-rejectedlabel");
  });
}

fs::path held_out_place(const fs::path& place) {
  return place.parent_path() / (place.stem().string() + "-held-out" + place.extension().string());
}

// The answers of a purpose, with their pictures. They point into `votes` and `images`.
std::vector<NamedVote> named(const std::vector<StandingVote>& votes,
                             const std::vector<StoredImage>& images,
                             const std::vector<Person>& everybody,
                             const std::string& purpose,
                             bool names) {
  std::unordered_map<int64_t, const StoredImage*> image_of;
  for (const auto& image : images) image_of.emplace(image.id, &image);
  std::map<int64_t, std::string> name_of;
  for (const auto& person : everybody)
    name_of[person.id] = names ? person.name : data::sha256(person.name).substr(0, 12);
  std::vector<NamedVote> found;
  for (const auto& vote : votes) {
    if (vote.answer == "skip" || vote.pair.purpose != purpose) continue;
    found.push_back({.vote = &vote,
                     .left = image_of.at(vote.pair.left),
                     .right = image_of.at(vote.pair.right),
                     .person = name_of[vote.pair.person]});
  }
  return found;
}

}  // namespace

const std::vector<ExportForm>& export_forms() {
  static const std::vector<ExportForm> forms{
      {"laurel", "JSONL that train-reward pairs reads", write_lines<laurel_line>},
      {"csv", "the same as a table", write_csv},
      {"pick-a-pic", "JSONL with Pick-a-Pic's columns", write_lines<pick_line>},
      {"hpdv2", "JSONL with HPDv2's keys, decided pairs alone", write_lines<hpd_line>},
      {"folders", "a folder with w/ and l/, as kohya's sd-scripts", write_sides},
      {"siblings", "NAME and NAME-rejectedlabel in a folder, as OneTrainer", write_siblings},
  };
  return forms;
}

Exported export_votes(data::Database& store, const fs::path& place, const ExportOptions& options) {
  const auto form = std::find_if(export_forms().begin(), export_forms().end(),
                                 [&](const ExportForm& one) { return one.name == options.form; });
  if (form == export_forms().end())
    throw data::BadInput("--export_form: found '" + options.form + "', which is none");
  const auto votes = standing_votes(store);
  const auto images = stored_images(store);
  const auto everybody = people(store);
  const auto learn = named(votes, images, everybody, kLearn, options.names);
  const auto held_out = named(votes, images, everybody, kHeldOut, options.names);
  if (learn.empty())
    throw data::BadInput(store.file().string() +
                         ": expected answers to learn from, found none; vote first");
  form->write(place, learn);
  Exported exported{.learn = static_cast<int64_t>(learn.size()),
                    .held_out = static_cast<int64_t>(held_out.size()),
                    .held_out_place = held_out_place(place)};
  if (!held_out.empty()) form->write(exported.held_out_place, held_out);
  return exported;
}

std::string votes_as_lines(data::Database& store,
                           const fs::path& folder,
                           bool names,
                           int64_t person) {
  const auto votes = standing_votes(store, person);
  const auto images = stored_images(store);
  return lines_of(named(votes, images, people(store), kLearn, names), folder, laurel_line);
}

Imported import_choices(data::Database& store, const fs::path& file, const std::string& person) {
  const rewards::Choices choices = rewards::read_choices(file);
  static const std::map<rewards::Answer, std::string> kAnswers{
      {rewards::Answer::kA, "left"},
      {rewards::Answer::kB, "right"},
      {rewards::Answer::kTie, "tie"},
      {rewards::Answer::kBothBad, "both_bad"}};
  Imported imported{.pairs = 0, .left_out = choices.left_out};
  std::map<std::string, int64_t> ids;
  for (const auto& choice : choices.pairs) {
    const std::string name = choice.person.empty() ? person : choice.person;
    if (!ids.contains(name)) ids[name] = person_named(store, name).id;
    try {
      const int64_t left = record_image(store, choice.a, choice.prompt);
      const int64_t right = record_image(store, choice.b, choice.prompt);
      const bool measures = is_held_out({.sha256 = data::sha256_of_file(choice.a)},
                                        {.sha256 = data::sha256_of_file(choice.b)});
      const int64_t pair = record_pair(store, {.person = ids[name],
                                               .left = left,
                                               .right = right,
                                               .purpose = measures ? kHeldOut : kLearn});
      record_vote(store, pair, kAnswers.at(choice.answer), 0);
      ++imported.pairs;
    } catch (const data::BadInput& error) {
      imported.left_out.push_back(error.what());
    }
  }
  for (const auto& like : choices.likes)
    imported.left_out.push_back(like.image.string() + ": a single like, which is no pair");
  return imported;
}

}  // namespace studio
