// Prompts: files of them, weights in brackets, and the parameters that web UIs write into images.

#include <cmath>

#include "data/images/generation_parameters.hpp"
#include "data/text/clip_tokenizer_files.hpp"
#include "data/text/prompt_file.hpp"
#include "data/world/grammar.hpp"
#include "diffusion/text/prompt_weighting.hpp"
#include "tests/fuzz/support.hpp"
#include "tests/fuzz/target.hpp"
#include "tools/gallery/records.hpp"

namespace fuzz {
namespace {

void check_prompts(const std::vector<data::PromptLine>& lines) {
  require(!lines.empty(), "a file without a prompt is refused");
  for (const auto& line : lines) require(!line.prompt.empty(), "an empty prompt is refused");
}

void prompt_txt(std::string_view input) {
  attempt([&] { data::parse_prompt_line(std::string(input), "input"); });
  check_prompts(data::read_prompts(file_of("prompts.txt", input)));
}

void prompt_jsonl(std::string_view input) {
  check_prompts(data::read_prompts(file_of("prompts.jsonl", input)));
}

void prompt_weights(std::string_view input) {
  static const data::Tokenizer tokenizer =
      data::load_tokenizer(std::filesystem::path(LAUREL_SOURCE_DIR) / "tests/golden/tokenizer");
  const std::string text(input);
  diffusion::has_weights(text);
  const auto pieces = diffusion::parse_weights(text);
  for (const auto& piece : pieces) require(!std::isnan(piece.weight), "a weight is a number");
  for (const auto& chunk : diffusion::chunks_of(tokenizer, pieces))
    require(chunk.ids.size() == static_cast<size_t>(tokenizer.max_length) &&
                chunk.weights.size() == chunk.ids.size(),
            "a chunk is as long as the text encoder reads");
}

void parameters(std::string_view input) {
  const std::string text(input);
  const auto parts = data::split_parameters(text);
  require(parts.before + parts.settings + parts.after == text, "the parts are the whole text");
  gallery::parse_parameters(text);
}

void scene_caption(std::string_view input) { world::parse(std::string(input)); }

}  // namespace

Targets prompt_targets() {
  return {
      {.name = "prompt_txt",
       .run = prompt_txt,
       .seeds = {"a cat --n blurry --w 512 --h 512 --d 7 --l 7.5 --s 30\n# no prompt\n\na dog\n"},
       .words = {" --n ", " --w ", " --h ", " --d ", " --l ", " --s ", "18446744073709551615"}},
      {.name = "prompt_jsonl",
       .run = prompt_jsonl,
       .seeds = {R"({"prompt": "a cat", "negative_prompt": "x", "seed": 7, "width": 512})"
                 "\n"
                 R"({"text": "a dog", "steps": 20, "cfg_scale": 7.5})"
                 "\n"},
       .words = {"\"prompt\"", "\"caption\"", "\"seed\"", "\"height\"", "1e300", "-1"}},
      {.name = "prompt_weights",
       .run = prompt_weights,
       .seeds = {"a (red:1.3) [blue] ((small)) circle, \\(x\\) BREAK and (more:0.5)",
                 "a, b, c, d, e, f"},
       .words = {"BREAK", " AND ", ":1.5)", "((((", "[a:b:0.5]", "[a|b]", "\\(", ", "}},
      {.name = "parameters",
       .run = parameters,
       .seeds =
           {"a cat\nNegative prompt: blurry\nSteps: 20, Sampler: DDIM, CFG scale: 7.5, Seed: 1,"
            " Size: 64x64, Note: \"a, b\", Reward x: 1.5\nTemplate: y"},
       .words = {"\nSteps: 1", "\nNegative prompt: ", ", Seed: ", "Reward a: 1e999", " Score: "}},
      {.name = "scene_caption",
       .run = scene_caption,
       .seeds = {"a small red circle above a large blue square on a dark background",
                 "two green triangles"},
       .words = {" and ", "left of ", "in the top left corner", " circles"}},
  };
}

}  // namespace fuzz
