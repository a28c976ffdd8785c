#include "tools/studio/work_api.hpp"

#include <nlohmann/json.hpp>

#include "data/base/error.hpp"
#include "data/base/json.hpp"
#include "rewards/combine/aggregate.hpp"
#include "tools/studio/store/model_choices.hpp"
#include "tools/studio/voting_api.hpp"
#include "tools/studio/work/kept_models.hpp"
#include "tools/studio/work/methods.hpp"
#include "tools/studio/work/run_view.hpp"
#include "tools/studio/work/tries.hpp"

using nlohmann::ordered_json;

namespace studio {
namespace {

StoredJob job_in(App& app, const Body& body) {
  return job_of(app.store.database, integer_in(body, "job"));
}

std::filesystem::path run_folder(App& app, const StoredJob& job) {
  if (job.kind != kTraining) throw data::BadInput("job: expected a training");
  return app.workshop->folder_of(job) / kRunFolder;
}

ordered_json job_json(App& app, const StoredJob& job) {
  const JobKind& kind = job_kind(job.kind);
  return {{"id", job.id},
          {"kind", job.kind},
          {"title", kind.title},
          {"resumable", kind.resumable && job.state != kEnded && job.state != kRunning},
          {"request", data::parse_ordered_json(job.request)},
          {"folder", app.workshop->folder_of(job).string()},
          {"state", job.state},
          {"note", job.note},
          {"at", job.at}};
}

ordered_json methods_json() {
  ordered_json methods = ordered_json::array();
  for (const auto& method : training_methods())
    methods.push_back({{"name", method.name},
                       {"summary", method.summary},
                       {"from_answers", method.from_answers},
                       {"aggregates", method.aggregates},
                       {"rounds", method.rounds},
                       {"usual", method.usual}});
  return methods;
}

ordered_json aggregates_json() {
  ordered_json aggregates = ordered_json::array();
  for (const auto* aggregate : rewards::aggregates())
    aggregates.push_back({{"name", aggregate->name}, {"description", aggregate->description}});
  return aggregates;
}

// All jobs but the prompts that were tried, which the training shows.
ordered_json job_list(App& app, const Body&) {
  ordered_json list = ordered_json::array();
  for (const auto& job : jobs(app.store.database)) {
    if (job.kind != kTry) list.push_back(job_json(app, job));
  }
  const ModelChoice model = chosen_model(app.store.database);
  return {{"jobs", list},
          {"methods", methods_json()},
          {"aggregates", aggregates_json()},
          {"model", {{"job", model.job}, {"step", model.step}}}};
}

ordered_json start(App& app, const Body& body) {
  return {{"job", app.workshop->start(text_in(body, "kind"), job_request(body))}};
}

ordered_json pause(App& app, const Body& body) {
  app.workshop->end(integer_in(body, "job"), kPaused);
  return ordered_json::object();
}

ordered_json stop(App& app, const Body& body) {
  app.workshop->end(integer_in(body, "job"), kStopped);
  return ordered_json::object();
}

ordered_json resume(App& app, const Body& body) {
  app.workshop->resume(integer_in(body, "job"));
  return ordered_json::object();
}

// A job with what it said and, for a training, its curves, pictures and models.
ordered_json watch(App& app, const Body& body) {
  const StoredJob job = job_in(app, body);
  ordered_json json = job_json(app, job);
  json["log"] = app.workshop->log_tail(job);
  json["memory"] = app.workshop->memory_of(job.id);
  if (job.kind != kTraining) return json;
  json["run"] =
      run_view(run_folder(app, job), static_cast<size_t>(integer_in(body, "known")), app.pictures);
  const auto chosen = chosen_step(app.store.database, job.id);
  json["chosen"] = chosen ? ordered_json(*chosen) : ordered_json(nullptr);
  json["tries"] = tries_json(jobs(app.store.database), job.id, *app.workshop, app.pictures);
  return json;
}

// Makes a kept model the one that counts; job 0: the one that the studio was started with.
ordered_json choose(App& app, const Body& body) {
  ModelChoice choice;
  if (integer_in(body, "job") != 0) {
    const StoredJob job = job_in(app, body);
    choice = {.job = job.id,
              .step = kept_model(run_folder(app, job), integer_in(body, "step")).step};
  }
  choose_model(app.store.database, choice);
  return {{"model", {{"job", choice.job}, {"step", choice.step}}}};
}

// Opens the blind proof of a run; its pairs are then asked for with its number.
ordered_json open_proof(App& app, const Body& body) {
  const StoredJob job = job_in(app, body);
  app.proofs[job.id] =
      std::make_unique<Proof>(app.store, run_folder(app, job), static_cast<uint64_t>(job.at),
                              chosen_step(app.store.database, job.id));
  const Proof& proof = *app.proofs[job.id];
  return {{"proof", job.id}, {"step", proof.step}, {"pairs", proof.pairs.size()}};
}

ordered_json proof_result(App& app, const Body& body) {
  const auto found = app.proofs.find(integer_in(body, "proof"));
  if (found == app.proofs.end()) throw data::BadInput("proof: expected one that is open");
  const ProofResult result = result_of(*found->second, app.store.database, person_in(app, body));
  return {{"tuned", result.tuned},
          {"base", result.base},
          {"even", result.even},
          {"value", result.share.value},
          {"low", result.share.low},
          {"high", result.share.high},
          {"pairs", found->second->pairs.size()},
          {"verdict", result.verdict}};
}

}  // namespace

const std::vector<Route>& work_routes() {
  static const std::vector<Route> routes{
      {"/api/jobs", job_list},    {"/api/start", start},         {"/api/pause", pause},
      {"/api/stop", stop},        {"/api/resume", resume},       {"/api/watch", watch},
      {"/api/proof", open_proof}, {"/api/result", proof_result}, {"/api/model", choose},
  };
  return routes;
}

}  // namespace studio
