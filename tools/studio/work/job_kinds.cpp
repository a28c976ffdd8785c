#include "tools/studio/work/job_kinds.hpp"

#include <nlohmann/json.hpp>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "tools/cli/models.hpp"
#include "tools/studio/store/model_choices.hpp"
#include "tools/studio/store/schema.hpp"
#include "tools/studio/work/kept_models.hpp"
#include "tools/studio/work/training.hpp"

namespace fs = std::filesystem;

namespace studio {
namespace {

std::vector<Command> taste_commands(const JobRequest&, const JobContext& context) {
  return {{"train-reward", "pairs", "--data", write_answers(context, 0), "--output",
           context.folder / kTasteFolder}};
}

// Draws with the model that counts.
std::vector<Command> draw_commands(const JobRequest& request, const JobContext& context) {
  if (context.settings.prompts.empty() || context.settings.prompts == "world")
    throw data::BadInput(
        "--prompts: name a prompt file when you start the studio, to draw pictures");
  Command words{"sample",
                "--prompts",
                context.settings.prompts,
                "--count",
                std::to_string(request.count),
                "--seed",
                std::to_string(now() % 1'000'000'000),
                "--output_dir",
                context.folder / kDrawnFolder};
  const ModelChoice choice = chosen_model(context.store);
  if (choice.job == 0) {
    append_if(words, "--model", context.settings.model);
  } else {
    const fs::path run = run_of(context, choice.job);
    const auto model = drawing_options(run, kept_model(run, choice.step), context.folder);
    words.insert(words.end(), model.begin(), model.end());
  }
  return {words};
}

// The model of a training that is tried: the one that was chosen, else the newest that it kept.
KeptModel model_to_try(const JobContext& context, int64_t job, const fs::path& run) {
  if (const auto step = chosen_step(context.store, job)) return kept_model(run, *step);
  const auto kept = kept_models(run);
  if (kept.empty())
    throw data::BadInput(
        "this training has kept no model yet; try again after its next checkpoint");
  return kept.back();
}

// The same prompt and seed by the base and by the trained model.
std::vector<Command> try_commands(const JobRequest& request, const JobContext& context) {
  if (request.prompt.empty()) throw data::BadInput("prompt: expected one to draw, found none");
  const fs::path run = run_of(context, request.of);
  const KeptModel model = model_to_try(context, request.of, run);
  const fs::path prompts = context.folder / "prompt.jsonl";
  data::write_file(prompts, data::to_text(nlohmann::json{{"prompt", request.prompt}}) + "\n");
  const auto drawn_by = [&](const std::vector<std::string>& options, const char* folder) {
    Command words{"sample",
                  "--prompts",
                  prompts,
                  "--seed",
                  std::to_string(request.seed),
                  "--output_dir",
                  context.folder / folder};
    words.insert(words.end(), options.begin(), options.end());
    return words;
  };
  data::write_file(context.folder / kStepFile, std::to_string(model.step));
  return {drawn_by({"--model", start_of(run)}, kBaseFolder),
          drawn_by(drawing_options(run, model, context.folder), kTunedFolder)};
}

}  // namespace

const std::vector<JobKind>& job_kinds() {
  static const std::vector<JobKind> kinds{
      {"taste", "Learn a reward from the answers", false, false, taste_commands},
      {"forecast", "Forecast a training", false, false, forecast_commands},
      {kTraining, "Train the model", true, false, training_commands},
      {"draw", "Draw more pictures", false, false, draw_commands},
      {kTry, "Try a prompt", false, true, try_commands},
  };
  return kinds;
}

const JobKind& job_kind(const std::string& name) {
  for (const auto& kind : job_kinds()) {
    if (kind.name == name) return kind;
  }
  throw data::BadInput("kind: expected one of the studio's jobs");
}

double weights_on_disk(const WorkSettings& settings) {
  std::error_code error;
  double bytes = 0;
  try {
    const fs::path model = tools::checkpoint_path(settings.model);
    if (fs::is_regular_file(model, error)) return static_cast<double>(fs::file_size(model, error));
    for (fs::recursive_directory_iterator entry(model, error), end; !error && entry != end;
         entry.increment(error)) {
      if (entry->is_regular_file(error)) bytes += static_cast<double>(entry->file_size(error));
    }
  } catch (const data::BadInput&) {  // the job itself says what is missing
  }
  return bytes;
}

}  // namespace studio
