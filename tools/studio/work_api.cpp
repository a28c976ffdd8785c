#include "tools/studio/work_api.hpp"

#include <nlohmann/json.hpp>

#include "data/base/error.hpp"
#include "data/base/json.hpp"
#include "finetune/policy/methods/policy_methods.hpp"
#include "tools/studio/voting_api.hpp"
#include "tools/studio/work/run_view.hpp"

using nlohmann::ordered_json;

namespace studio {
namespace {

StoredJob job_in(App& app, const Body& body) {
  const int64_t id = integer_in(body, "job");
  for (auto& job : jobs(app.store.database)) {
    if (job.id == id) return job;
  }
  throw data::BadInput("job: expected one of this store");
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

ordered_json job_list(App& app, const Body&) {
  ordered_json list = ordered_json::array();
  for (const auto& job : jobs(app.store.database)) list.push_back(job_json(app, job));
  ordered_json methods = ordered_json::array();
  for (const auto& method : finetune::policy_methods())
    methods.push_back({{"name", method.name}, {"summary", method.summary}});
  return {{"jobs", list}, {"methods", methods}};
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

// A job with what it said and, for a training, its curves and pictures.
ordered_json watch(App& app, const Body& body) {
  const StoredJob job = job_in(app, body);
  ordered_json json = job_json(app, job);
  json["log"] = app.workshop->log_tail(job);
  if (job.kind == "finetune")
    json["run"] = run_view(app.workshop->folder_of(job) / kRunFolder,
                           static_cast<size_t>(integer_in(body, "known")), app.pictures);
  return json;
}

// Opens the blind proof of a run; its pairs are then asked for with its number.
ordered_json open_proof(App& app, const Body& body) {
  const StoredJob job = job_in(app, body);
  if (job.kind != "finetune") throw data::BadInput("job: expected a training");
  app.proofs[job.id] = std::make_unique<Proof>(app.store, app.workshop->folder_of(job) / kRunFolder,
                                               static_cast<uint64_t>(job.at));
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
      {"/api/proof", open_proof}, {"/api/result", proof_result},
  };
  return routes;
}

}  // namespace studio
