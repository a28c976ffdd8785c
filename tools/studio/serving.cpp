#include "tools/studio/serving.hpp"

#include <atomic>
#include <chrono>
#include <filesystem>
#include <iostream>
#include <random>
#include <thread>

#include "data/base/error.hpp"
#include "data/base/log.hpp"
#include "data/unicode/utf8.hpp"
#include "tools/cli/console/progress.hpp"
#include "tools/cli/console/run_console.hpp"
#include "tools/studio/app.hpp"
#include "tools/studio/server/network.hpp"
#include "tools/studio/server/qr_code.hpp"

namespace fs = std::filesystem;

namespace studio {
namespace {

// The pictures of the places; none where none is named.
std::vector<int64_t> recorded(const ServingConfig& config,
                              const std::vector<std::string>& places,
                              data::Database& store) {
  if (places.empty()) return {};
  const auto pictures = gallery::collect(places, config.recursive);
  std::vector<std::string> faults;
  tools::Progress progress("Reading", static_cast<int64_t>(pictures.images.size()), "img");
  const auto ids = record_images(store, pictures, faults, [&] { progress.advance(); });
  for (const auto& fault : faults) progress.print_fault(data::printable(fault));
  if (faults.size() == ids.size())
    throw data::BadInput(places.front() + ": no picture can be read");
  return ids;
}

// Empty where nothing is learnt.
Learner::Look look_of(const ServingConfig& config, data::Database& store) {
  if (config.no_learning) return {};
  try {
    const bool prompts = store.number("SELECT count(*) FROM prompt WHERE text = ''") == 0;
    return remembering(make_look(config.look, prompts));
  } catch (const data::BadInput& error) {
    data::log_warning(std::string("pairs are drawn at random: ") + error.what());
    return {};
  }
}

void say_where(const ServingConfig& config,
               const Guard& guard,
               const std::vector<std::string>& names,
               const Pool& pool,
               int port) {
  std::cout << pool.images.size() << " pictures in " << pool.groups.size()
            << (pool.groups.size() == 1 ? " group" : " groups")
            << " that may be compared; answers go to " << config.store << "\n";
  if (!config.listen.empty())
    std::cout << "Listening on " << config.listen
              << ": whoever has an address below can see the pictures and vote. The connection is "
                 "not encrypted: use it in a network that you trust.\n";
  const auto address = [&](const std::string& host) {
    return "http://" + host + ":" + std::to_string(port) + "/#t=" + guard.token;
  };
  std::cout << "\n    " << address("127.0.0.1") << "\n";
  for (const auto& name : names) std::cout << "    " << address(name) << "\n";
  if (!names.empty())
    std::cout << "\nThe last address for the camera of a phone:\n\n"
              << qr_code(address(names.back()));
  std::cout << "\nCtrl-C ends it. Every answer is on the disk at once." << std::endl;
}

// Pictures that a job drew join the others: the session is made anew with them.
void add_drawn(App& app, const StoredJob& job, const Learner::Look& look, uint64_t seed) {
  if (job.kind != "draw") return;
  std::vector<int64_t> ids;
  for (const auto& image : app.session->pool.images) ids.push_back(image.id);
  std::vector<std::string> faults;
  const auto drawn = gallery::collect({(app.workshop->folder_of(job) / kDrawnFolder).string()});
  const auto more = record_images(app.store.database, drawn, faults);
  ids.insert(ids.end(), more.begin(), more.end());
  app.session = nullptr;  // ends its learner first
  app.session = std::make_unique<Session>(app.store, ids, look, seed);
}

void open_workshop(App& app, const WorkSettings& work, const Learner::Look& look, uint64_t seed) {
  app.workshop = std::make_unique<Workshop>(
      app.store.database, app.mutex, work, fs::read_symlink("/proc/self/exe").string(),
      [&app, look, seed](const StoredJob& job) { add_drawn(app, job, look, seed); });
}

}  // namespace

int serve(const ServingConfig& config,
          const std::vector<std::string>& places,
          const std::optional<WorkSettings>& work) {
  auto store = open_store(config.store);
  if (!store.database.has_log())
    data::log_warning(config.store +
                      ": this file system allows no write-ahead log; a rollback journal is used");
  const auto names = names_of(config.listen);
  const auto ids = recorded(config, places, store.database);
  const uint64_t seed = config.seed ? static_cast<uint64_t>(config.seed) : std::random_device()();
  const auto stop = tools::stop_on_signal();
  const auto look = look_of(config, store.database);
  App app{
      .guard = {}, .store = store, .session = std::make_unique<Session>(store, ids, look, seed)};
  std::atomic<bool> ready = false;
  data::HttpServer server(
      config.listen.empty() ? "127.0.0.1" : config.listen, static_cast<int>(config.port),
      [&](const data::HttpRequest& request) {
        return ready ? answer(app, request) : refused(503, "not ready yet");
      },
      kServerLimits);
  app.guard = make_guard(server.port(), names);
  if (work) open_workshop(app, *work, look, seed);
  ready = true;
  say_where(config, app.guard, names, app.session->pool, server.port());
  while (!stop()) std::this_thread::sleep_for(std::chrono::milliseconds(50));
  server.stop();
  server.wait();
  return 0;
}

}  // namespace studio
