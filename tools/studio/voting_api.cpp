#include "tools/studio/voting_api.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "data/base/error.hpp"
#include "tools/cli/version.hpp"
#include "tools/studio/voting/exchange.hpp"
#include "tools/studio/voting/report_json.hpp"
#include "tools/studio/work/run_view.hpp"

using nlohmann::ordered_json;

namespace studio {
namespace {

constexpr int64_t kLongestLook = 24 * 3600 * 1000;  // milliseconds
constexpr int64_t kLearnEvery = 10;                 // answers

ordered_json counts_json(const VoteCounts& counts) {
  return {{"answered", counts.answered},
          {"decided", counts.decided},
          {"ties", counts.ties},
          {"both_bad", counts.both_bad},
          {"skipped", counts.skipped},
          {"held_out", counts.held_out},
          {"repeated", counts.repeated},
          {"again", counts.again},
          {"same_again", counts.same_again}};
}

// What pairs come from: the session, or the open proof that the request names.
struct Asking {
  Ballot& ballot;
  const Pool& pool;
  bool proof;
};
Asking asking_in(App& app, const Body& body) {
  if (!body.contains("proof")) return {app.session->ballot, app.session->pool, false};
  const auto found = app.proofs.find(integer_in(body, "proof"));
  if (found == app.proofs.end()) throw data::BadInput("proof: expected one that is open");
  return {found->second->ballot, found->second->pool, true};
}

ordered_json pair_json(App& app, const Pool& pool, const ShownPair& pair) {
  const StoredImage& left = pool.images[pool.number_of.at(pair.left)];
  const StoredImage& right = pool.images[pool.number_of.at(pair.right)];
  return {{"pair", pair.id},
          {"prompt", left.prompt == right.prompt ? left.prompt : ""},
          {"left", address_of(left.path, app.pictures)},
          {"right", address_of(right.path, app.pictures)}};
}

// What the page shows to this person: the same after every action.
ordered_json ballot_json(App& app, const Asking& asking, int64_t person) {
  ordered_json queue = ordered_json::array();
  for (const auto& pair : asking.ballot.queue(person))
    queue.push_back(pair_json(app, asking.pool, pair));
  ordered_json json{{"queue", queue}, {"counts", counts_json(asking.ballot.counts(person))}};
  if (app.session->learner) {
    const auto sight = app.session->learner->sight();
    json["sight"] = {{"seen", sight.seen}, {"all", sight.all}, {"fault", sight.fault}};
  }
  return json;
}

ordered_json people_json(App& app) {
  ordered_json all = ordered_json::array();
  for (const auto& person : people(app.store.database))
    all.push_back({{"id", person.id}, {"name", person.name}});
  return all;
}

ordered_json about(App& app, const Body&) {
  return {{"version", tools::kVersion},
          {"store", app.store.database.file().filename().string()},
          {"pictures", app.session->pool.images.size()},
          {"groups", app.session->pool.groups.size()},
          {"studio", app.workshop != nullptr},
          {"people", people_json(app)}};
}

ordered_json add_person(App& app, const Body& body) {
  const Person person = person_named(app.store.database, text_in(body, "name"));
  return {{"person", person.id}, {"people", people_json(app)}};
}

ordered_json queue(App& app, const Body& body) {
  return ballot_json(app, asking_in(app, body), person_in(app, body));
}

void learn_soon(App& app) {
  if (app.session->learner) app.session->learner->wake();
}

ordered_json vote(App& app, const Body& body) {
  const int64_t person = person_in(app, body);
  const int64_t milliseconds =
      std::clamp<int64_t>(integer_in(body, "milliseconds"), 0, kLongestLook);
  const Asking asking = asking_in(app, body);
  const bool recorded =
      asking.ballot.vote(person, integer_in(body, "pair"), text_in(body, "answer"), milliseconds);
  if (recorded && !asking.proof && asking.ballot.counts(person).answered % kLearnEvery == 0)
    learn_soon(app);
  ordered_json json = ballot_json(app, asking, person);
  json["recorded"] = recorded;
  return json;
}

ordered_json undo(App& app, const Body& body) {
  const int64_t person = person_in(app, body);
  const Asking asking = asking_in(app, body);
  const bool undone = asking.ballot.undo(person);
  if (undone && !asking.proof) learn_soon(app);
  ordered_json json = ballot_json(app, asking, person);
  json["undone"] = undone;
  return json;
}

// Where the pictures of an answered pair come from. From then on its answer cannot be changed.
ordered_json reveal(App& app, const Body& body) {
  const int64_t person = person_in(app, body), id = integer_in(body, "pair");
  const Pool& pool = asking_in(app, body).pool;
  for (const auto& pair : pairs_of(app.store.database, person)) {
    if (pair.id != id || !pool.number_of.contains(pair.left) ||
        !pool.number_of.contains(pair.right))
      continue;
    record_reveal(app.store.database, id);
    const auto name = [&](int64_t image) {
      const StoredImage& found = pool.images[pool.number_of.at(image)];
      return found.run == found.set ? found.run : found.run + " · " + found.set;
    };
    return {{"left", name(pair.left)}, {"right", name(pair.right)}};
  }
  throw data::BadInput("pair: expected one that this person was shown");
}

ordered_json report(App& app, const Body&) {
  const auto found = app.session->learner ? app.session->learner->report() : nullptr;
  return found ? report_json(*found) : ordered_json::array();
}

ordered_json lines(App& app, const Body&) {
  return {
      {"lines", votes_as_lines(app.store.database,
                               std::filesystem::absolute(app.store.database.file()).parent_path(),
                               /*names=*/false)}};
}

}  // namespace

int64_t integer_in(const Body& body, const char* key) {
  if (!body.contains(key) || !body[key].is_number_integer())
    throw data::BadInput(std::string(key) + ": expected a number");
  return body[key].get<int64_t>();
}

std::string text_in(const Body& body, const char* key) {
  if (!body.contains(key) || !body[key].is_string())
    throw data::BadInput(std::string(key) + ": expected a text");
  return body[key].get<std::string>();
}

int64_t person_in(App& app, const Body& body) {
  const int64_t person = integer_in(body, "person");
  const auto all = people(app.store.database);
  if (std::none_of(all.begin(), all.end(), [&](const Person& one) { return one.id == person; }))
    throw data::BadInput("person: expected one of this store");
  return person;
}

const std::vector<Route>& voting_routes() {
  static const std::vector<Route> routes{
      {"/api/about", about},   {"/api/person", add_person}, {"/api/queue", queue},
      {"/api/vote", vote},     {"/api/undo", undo},         {"/api/reveal", reveal},
      {"/api/report", report}, {"/api/lines", lines},
  };
  return routes;
}

}  // namespace studio
