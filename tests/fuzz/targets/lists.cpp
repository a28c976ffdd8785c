// Lists that name pictures: captions, edits, choices, a community's log, batches of edits.

#include <nlohmann/json.hpp>

#include "data/images/captions.hpp"
#include "data/images/edit_dataset.hpp"
#include "rewards/pairs/choices.hpp"
#include "rewards/social/log.hpp"
#include "tests/fuzz/support.hpp"
#include "tests/fuzz/target.hpp"
#include "tools/edit/batch_file.hpp"

namespace fuzz {
namespace {

namespace fs = std::filesystem;

// A folder with a picture and this list of it, alone.
fs::path folder_with(const std::string& list, std::string_view input) {
  fs::create_directories(scratch() / "images");
  file_of("images/a.png", "");
  fs::remove(scratch() / "images" / (list == "metadata.csv" ? "metadata.jsonl" : "metadata.csv"));
  file_of("images/" + list, input);
  return scratch() / "images";
}

void captions_in(const fs::path& folder) {
  for (const auto& image : data::listed_images(folder))
    require(image.caption.text.empty() || image.caption.fault.empty(),
            "a caption is a text or a fault");
  data::Captions().of(folder / "a.png");
}

void captions_jsonl(std::string_view input) { captions_in(folder_with("metadata.jsonl", input)); }

void captions_csv(std::string_view input) { captions_in(folder_with("metadata.csv", input)); }

void edits_jsonl(std::string_view input) {
  for (const auto& triple : data::read_edit_triples(folder_with("metadata.jsonl", input), false))
    data::renamed_line(triple, "a.png", "b.png");
}

void choices_in(const fs::path& file) {
  for (const auto& choice : rewards::read_choices(file).pairs) {
    require(choice.weight > 0, "a choice weighs more than 0");
    require(choice.margin >= 0, "a winner leads by a margin of at least 0");
  }
}

void choices_jsonl(std::string_view input) { choices_in(file_of("choices.jsonl", input)); }

void choices_csv(std::string_view input) { choices_in(file_of("choices.csv", input)); }

void social_log(std::string_view input) {
  const auto log = rewards::with_views(rewards::read_social_log(file_of("log.jsonl", input)));
  for (const auto& event : log.events) rewards::social_line(log, event);
}

void edit_batch(std::string_view input) {
  attempt([&] { tools::read_edit_lines(file_of("jobs.jsonl", input)); });
  tools::read_edit_lines(file_of("jobs.csv", input));
}

}  // namespace

Targets list_targets() {
  return {
      {.name = "captions_jsonl",
       .run = captions_jsonl,
       .seeds = {R"({"file_name": "a.png", "text": "a red circle"})"
                 "\n"
                 R"({"file_name": "images\\a.png", "prompt": "x"})"
                 "\n"},
       .words = {"file_name", "\"caption\"", "../", "\\\\", "./"}},
      {.name = "captions_csv",
       .run = captions_csv,
       .seeds = {"file_name,text\na.png,\"a, b\"\nimages/a.png,c\n"},
       .words = {"file_name", ",caption", "\"\"", "../"}},
      {.name = "edits_jsonl",
       .run = edits_jsonl,
       .seeds =
           {R"({"file_name": "a.png", "edit_prompt": "make it blue", "edited_file_name": )"
            R"("a.png", "scores": {"quality": 4.5, "x": null}, "feedback": ["a", "b"], "id": 3})"
            "\n"},
       .words = {"\"source_img\"", "\"instruction\"", "\"edited\"", "_file_name", "\"feedback\""}},
      {.name = "choices_jsonl",
       .run = choices_jsonl,
       .seeds = {R"({"prompt": "x", "a": "1.png", "b": "2.png", "winner": "tie", "weight": 2})"
                 "\n"
                 R"({"like": "1.png", "person": "p"})"
                 "\n"
                 R"({"prompt": "x", "generations": ["1", "2", "3"], "ranking": [1, 2, 2]})"
                 "\n"
                 R"({"prompt": "x", "image_path": ["1", "2"], "human_preference": [1, 0]})"
                 "\n"
                 R"({"caption": "x", "image_0": "1", "image_1": "2", "label_0": 1, "label_1": 0})",
                 R"({"prompt": "x", "pos_path": "1", "neg_path": "2", "user_id": 7})",
                 R"({"prompt": "x", "image_path": ["1", "2"], "rank": [0, 1]})"},
       .words = {"has_label", "both_bad", "\"dislike\"", "user_hash", "1e6"}},
      {.name = "choices_csv",
       .run = choices_csv,
       .seeds = {"prompt,a,b,winner,weight\nx,1.png,2.png,a,1.5\n",
                 "caption,image_0,image_1,label_0,label_1,has_label\nx,1,2,0.5,0.5,True\n"},
       .words = {"dislike", "False", "nan", "inf", "0x1p3"}},
      {.name = "social_log",
       .run = social_log,
       .seeds =
           {R"({"time": 1767225600, "user": "u", "prompt": "x", "image": "1", "action": "like"})"
            "\n"
            R"({"time": "2026-01-01T00:00:00Z", "user": "v", "prompt": "x", "image": "1", )"
            R"("action": "reuse", "position": 3})"
            "\n"},
       .words = {"\"view\"", "\"position\"", "9999-12-31T23:59:60Z", "2147483647"}},
      {.name = "edit_batch",
       .run = edit_batch,
       .seeds = {R"({"image": "a.png", "instruction": "blue", "reward": [5, null], "seed": 3})"
                 "\n",
                 "image,instruction,request,cfg_text\na.png,blue,\"5,-\",7.5\n"},
       .words = {"\"request_low\"", "\"output\"", "guidance_scale", "{\"a\":5}"}},
  };
}

}  // namespace fuzz
