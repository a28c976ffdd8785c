#include "tools/studio/work/job_kinds.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "data/base/error.hpp"
#include "data/storage/sha256.hpp"
#include "finetune/policy/methods/policy_methods.hpp"
#include "rewards/pairs/files.hpp"
#include "tools/studio/store/jobs.hpp"
#include "tools/studio/store/schema.hpp"
#include "tools/studio/voting/exchange.hpp"

namespace fs = std::filesystem;

namespace studio {
namespace {

int64_t number_in(const nlohmann::json& body, const char* key, int64_t otherwise, int64_t most) {
  if (!body.contains(key)) return otherwise;
  const bool whole = body[key].is_number_integer();
  const int64_t value = whole ? body[key].get<int64_t>() : -1;
  if (value < 0 || value > most)
    throw data::BadInput(std::string(key) + ": expected a whole number from 0 to " +
                         std::to_string(most));
  return value;
}

fs::path folder_of(const JobContext& context, int64_t job, const std::string& kind) {
  for (const auto& one : jobs(context.store)) {
    if (one.id == job && one.kind == kind && one.state == kEnded)
      return context.settings.folder / one.folder;
  }
  throw data::BadInput("taste: learn a reward from your answers first");
}

// The reward of a person, as --define takes it.
std::string taste_spec(const JobRequest& request, const JobContext& context) {
  const fs::path folder = folder_of(context, request.taste, "taste") / kTasteFolder;
  std::string spec = "mine=pairs:" + folder.string();
  const auto taste = rewards::load_taste(folder);
  for (const auto& person : people(context.store)) {
    const std::string digest = data::sha256(person.name).substr(0, 12);
    if (person.id == request.person &&
        std::find(taste.people.begin(), taste.people.end(), digest) != taste.people.end())
      spec += ";person=" + digest;
  }
  return spec;
}

std::vector<std::string> taste_arguments(const JobRequest&, const JobContext& context) {
  export_votes(context.store, context.folder / "choices.jsonl", {});
  return {"train-reward", "pairs",
          "--data",       context.folder / "choices.jsonl",
          "--output",     context.folder / kTasteFolder};
}

void append_if(std::vector<std::string>& arguments, const char* flag, const std::string& value) {
  if (value.empty()) return;
  arguments.emplace_back(flag);
  arguments.push_back(value);
}

std::vector<std::string> finetune_arguments(const JobRequest& request, const JobContext& context) {
  std::vector<std::string> arguments{"finetune",       request.method,
                                     "--output_dir",   context.folder / kRunFolder,
                                     "--define",       taste_spec(request, context),
                                     "--reward",       "mine=1",
                                     "--num_epochs",   std::to_string(request.epochs),
                                     "--eval_rewards", context.settings.watch};
  append_if(arguments, "--model", context.settings.model);
  append_if(arguments, "--prompts", context.settings.prompts);
  append_if(arguments, "--resume_from_checkpoint", context.resumed ? "latest" : "");
  append_if(arguments, "--config", context.settings.config);
  return arguments;
}

std::vector<std::string> forecast_arguments(const JobRequest& request, const JobContext& context) {
  auto arguments = finetune_arguments(request, context);
  arguments.emplace_back("--dry_run");
  return arguments;
}

std::vector<std::string> draw_arguments(const JobRequest& request, const JobContext& context) {
  if (context.settings.prompts.empty() || context.settings.prompts == "world")
    throw data::BadInput(
        "--prompts: name a prompt file when you start the studio, to draw pictures");
  std::vector<std::string> arguments{"sample",
                                     "--prompts",
                                     context.settings.prompts,
                                     "--num_images",
                                     std::to_string(request.count),
                                     "--seed",
                                     std::to_string(1000 * request.taste + now() % 1'000'000),
                                     "--output",
                                     context.folder / kDrawnFolder};
  append_if(arguments, "--model", context.settings.model);
  return arguments;
}

}  // namespace

JobRequest job_request(const nlohmann::json& body) {
  JobRequest request;
  request.method = body.contains("method") && body["method"].is_string()
                       ? body["method"].get<std::string>()
                       : finetune::policy_methods().front().name;
  finetune::policy_method(request.method);  // throws for one that is none
  request.epochs = std::max<int64_t>(1, number_in(body, "epochs", 10, 100'000));
  request.count = std::max<int64_t>(2, number_in(body, "count", 4, 64));
  request.taste = number_in(body, "taste", 0, int64_t{1} << 50);
  request.person = number_in(body, "person", 0, int64_t{1} << 50);
  return request;
}

nlohmann::json to_json(const JobRequest& request) {
  return {{"method", request.method},
          {"epochs", request.epochs},
          {"count", request.count},
          {"taste", request.taste},
          {"person", request.person}};
}

const std::vector<JobKind>& job_kinds() {
  static const std::vector<JobKind> kinds{
      {"taste", "Learn a reward from the answers", false, taste_arguments},
      {"forecast", "Forecast a training", false, forecast_arguments},
      {"finetune", "Train the model", true, finetune_arguments},
      {"draw", "Draw more pictures", false, draw_arguments},
  };
  return kinds;
}

const JobKind& job_kind(const std::string& name) {
  for (const auto& kind : job_kinds()) {
    if (kind.name == name) return kind;
  }
  throw data::BadInput("kind: expected one of the studio's jobs");
}

}  // namespace studio
