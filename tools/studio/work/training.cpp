#include "tools/studio/work/training.hpp"

#include <algorithm>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/strings.hpp"
#include "data/storage/sha256.hpp"
#include "rewards/pairs/files.hpp"
#include "tools/studio/store/jobs.hpp"
#include "tools/studio/store/model_choices.hpp"
#include "tools/studio/voting/exchange.hpp"
#include "tools/studio/work/kept_models.hpp"
#include "tools/studio/work/methods.hpp"

namespace fs = std::filesystem;

namespace studio {
namespace {

constexpr const char* kKeptCheckpoints = "20";
// The model that counted, merged, in the job's folder: as a folder or a file.
constexpr const char *kStartFolder = "start", *kStartFile = "start.safetensors";

fs::path taste_folder(const JobRequest& request, const JobContext& context) {
  for (const auto& job : jobs(context.store)) {
    if (job.id == request.taste && job.kind == "taste" && job.state == kEnded)
      return context.settings.folder / job.folder / kTasteFolder;
  }
  throw data::BadInput("taste: learn a reward from your answers first");
}

std::string digest_of(const std::string& name) { return data::sha256(name).substr(0, 12); }

bool knows(const rewards::Taste& taste, const std::string& digest) {
  return std::find(taste.people.begin(), taste.people.end(), digest) != taste.people.end();
}

// --define and --reward of one taste, "mine": of a person, or of what all share.
Command one_taste(const JobRequest& request, const JobContext& context, const fs::path& folder) {
  std::string spec = "mine=pairs:" + folder.string();
  const auto taste = rewards::load_taste(folder);
  for (const auto& person : people(context.store)) {
    if (person.id == request.person && knows(taste, digest_of(person.name)))
      spec += ";person=" + digest_of(person.name);
  }
  return {"--define", spec, "--reward", "mine=1"};
}

// A reward for each person, "mine1" and so on, and the rule that makes one of them.
Command each_taste(const JobRequest& request, const fs::path& folder) {
  Command words;
  std::vector<std::string> weights;
  for (const auto& digest : rewards::load_taste(folder).people) {
    const std::string name = "mine" + std::to_string(weights.size() + 1);
    words.insert(words.end(),
                 {"--define", name + "=pairs:" + folder.string() + ";person=" + digest});
    weights.push_back(name + "=1");
  }
  if (weights.size() < 2)
    throw data::BadInput("aggregate: expected a reward that was learnt from several people");
  words.insert(words.end(),
               {"--reward", data::joined(weights, ","), "--aggregate", request.aggregate});
  return words;
}

// What it learns from.
Command source_words(const JobRequest& request,
                     const JobContext& context,
                     const TrainingMethod& method) {
  if (method.from_answers) return {"--pairs", write_answers(context, request.person)};
  const fs::path folder = taste_folder(request, context);
  if (!request.aggregate.empty() && !method.aggregates)
    throw data::BadInput("aggregate: " + method.name +
                         " follows one reward; choose a person, or what all share");
  Command words =
      request.aggregate.empty() ? one_taste(request, context, folder) : each_taste(request, folder);
  if (method.online) words.emplace_back("--online");
  return words;
}

// The file of --config; "": none.
std::string config_of(const WorkSettings& settings, const std::string& method) {
  if (settings.config.empty() || !fs::is_directory(settings.config)) return settings.config;
  const fs::path file = fs::path(settings.config) / (method + ".toml");
  return fs::exists(file) ? file.string() : "";
}

// laurel finetune on `model`.
Command finetune_words(const JobRequest& request,
                       const JobContext& context,
                       const std::string& model) {
  const TrainingMethod& method = training_method(request.method, request.from_answers);
  Command words{"finetune",           method.name,
                "--output_dir",       context.folder / kRunFolder,
                method.rounds_option, std::to_string(request.rounds),
                "--eval_rewards",     context.settings.watch};
  const Command source = source_words(request, context, method);
  words.insert(words.end(), source.begin(), source.end());
  append_if(words, "--model", model);
  const bool world = context.settings.model.empty() && context.settings.prompts.empty();
  append_if(words, "--prompts", world ? "world" : context.settings.prompts);
  append_if(words, "--resume_from_checkpoint", context.resumed ? "latest" : "");
  const std::string config = config_of(context.settings, method.name);
  append_if(words, "--config", config);
  // Without a file that may say how many: enough to go back to.
  append_if(words, "--checkpoints_total_limit", config.empty() ? kKeptCheckpoints : "");
  return words;
}

// The model that counts, as a checkpoint to train on: what must be run to have it, and its path.
struct Start {
  std::vector<Command> before{};
  std::string model;
};
Start chosen_start(const JobContext& context) {
  const ModelChoice choice = chosen_model(context.store);
  if (choice.job == 0) return {.model = context.settings.model};
  const fs::path run = run_of(context, choice.job);
  const KeptModel kept = kept_model(run, choice.step);
  const std::string base = start_of(run);
  const fs::path lora = lora_of(kept);
  if (lora.empty())
    throw data::BadInput(kept.folder.string() +
                         ": the whole network was trained; start the studio with it as --model to "
                         "train it further");
  const fs::path merged = context.folder / (fs::is_directory(base) ? kStartFolder : kStartFile);
  return {.before = {{"merge", "--model", base, "--lora", lora, "--output", merged}},
          .model = merged};
}

// Where a job that goes on had started.
std::string start_again(const JobContext& context) {
  for (const char* name : {kStartFolder, kStartFile}) {
    if (fs::exists(context.folder / name)) return context.folder / name;
  }
  return context.settings.model;
}

}  // namespace

void append_if(Command& command, const char* flag, const std::string& value) {
  if (value.empty()) return;
  command.emplace_back(flag);
  command.push_back(value);
}

fs::path run_of(const JobContext& context, int64_t job) {
  const StoredJob found = job_of(context.store, job);
  if (found.kind != kTraining) throw data::BadInput("job: expected a training");
  return context.settings.folder / found.folder / kRunFolder;
}

fs::path write_answers(const JobContext& context, int64_t person) {
  const std::string lines = votes_as_lines(context.store, context.folder, /*names=*/false, person);
  if (lines.empty()) throw data::BadInput("answers: expected some to learn from; vote first");
  fs::path file = context.folder / "choices.jsonl";
  data::write_file(file, lines);
  return file;
}

std::vector<Command> training_commands(const JobRequest& request, const JobContext& context) {
  const bool begun = context.resumed && fs::exists(context.folder / kRunFolder / "run.json");
  if (begun) return {finetune_words(request, context, start_again(context))};
  Start start = chosen_start(context);
  if (fs::exists(start.model) && !start.before.empty()) start.before.clear();  // of an earlier try
  start.before.push_back(finetune_words(request, context, start.model));
  return start.before;
}

// The same figures as of the training itself: a LoRA inside the model costs nothing.
std::vector<Command> forecast_commands(const JobRequest& request, const JobContext& context) {
  const ModelChoice choice = chosen_model(context.store);
  const std::string model =
      choice.job == 0 ? context.settings.model : start_of(run_of(context, choice.job));
  Command words = finetune_words(request, context, model);
  words.emplace_back("--dry_run");
  return {words};
}

}  // namespace studio
