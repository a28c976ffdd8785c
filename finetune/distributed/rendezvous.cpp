#include "finetune/distributed/rendezvous.hpp"

#include <unistd.h>

#include <cmath>
#include <sstream>
#include <thread>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include "data/base/error.hpp"

namespace finetune {
namespace {

using data::BadInput;

constexpr auto kLinger = Milliseconds(500);
constexpr double kLonger = 20;  // seconds: rank 0 has the first word
constexpr const char* kMeeting = "meeting";

std::string waited_text(double seconds) { return std::to_string(std::lround(seconds)) + " s"; }

// "node7, process 4711"
std::string place_of_this() {
  char host[256] = "";
  gethostname(host, sizeof host - 1);
  return std::string(host) + ", process " + std::to_string(getpid());
}

// The first key of `key = value` lines whose values differ: "learning_rate: 0.1, found 0.2"
std::string first_difference(const std::string& expected, const std::string& found) {
  std::istringstream left(expected), right(found);
  std::string a, b;
  while (true) {
    const bool more_a = static_cast<bool>(std::getline(left, a)),
               more_b = static_cast<bool>(std::getline(right, b));
    if (!more_a && !more_b) return "";
    if (!more_a) a = "nothing";
    if (!more_b) b = "nothing";
    if (a != b) return "expected `" + a + "`, found `" + b + "`";
  }
}

// What rank 0 has to complain of; "": all are there and agree.
std::string complaint(c10d::Store& store,
                      const Launch& launch,
                      const std::string& facts,
                      const ProcessGroupTimeouts& limits) {
  const auto end = std::chrono::steady_clock::now() + milliseconds(limits.meeting);
  const auto keys = keys_of("facts", launch.count);
  while (!store.check(keys) && std::chrono::steady_clock::now() < end)
    std::this_thread::sleep_for(Milliseconds(50));
  std::string missing;
  for (int64_t rank = 0; rank < launch.count; ++rank) {
    if (!store.check({key_of("facts", rank)})) missing += " " + std::to_string(rank);
  }
  if (!missing.empty()) {
    return "rendezvous: expected " + std::to_string(launch.count) + " ranks at " + launch.host +
           ":" + std::to_string(launch.port) + " within " + waited_text(limits.meeting) +
           ", missing:" + missing +
           "; look at their logs, or give them longer with --rendezvous_timeout";
  }
  for (int64_t rank = 0; rank < launch.count; ++rank) {
    const std::string found = text_of(store.get(key_of("facts", rank)));
    if (found == facts) continue;
    return rank_name(rank, launch.count) + " (" + text_of(store.get(key_of("place", rank))) +
           ") differs from rank 0: " + first_difference(facts, found) +
           "; start all ranks with the same program and configuration";
  }
  return "";
}

}  // namespace

Milliseconds milliseconds(double seconds) {
  return Milliseconds(static_cast<int64_t>(seconds * 1000));
}

std::string text_of(const std::vector<uint8_t>& bytes) { return {bytes.begin(), bytes.end()}; }
void put(c10d::Store& store, const std::string& key, const std::string& value) {
  store.set(key, std::vector<uint8_t>(value.begin(), value.end()));
}

std::string key_of(const char* what, int64_t rank) {
  return std::string(what) + "/" + std::to_string(rank);
}
std::vector<std::string> keys_of(const char* what, int64_t count) {
  std::vector<std::string> keys;
  for (int64_t rank = 0; rank < count; ++rank) keys.push_back(key_of(what, rank));
  return keys;
}

std::string rank_name(int64_t rank, int64_t count) {
  return "rank " + std::to_string(rank) + " of " + std::to_string(count);
}

StorePointer open_store(const Launch& launch, double seconds) {
  c10d::TCPStoreOptions options;
  options.port = static_cast<uint16_t>(launch.port);
  options.isServer = launch.rank == 0 && !launch.at_agent;
  options.waitWorkers = false;
  options.timeout = milliseconds(seconds);
  const std::string place = launch.host + ":" + std::to_string(launch.port);
  try {
    return c10::make_intrusive<c10d::PrefixStore>(
        "laurel/" + launch.attempt, c10::make_intrusive<c10d::TCPStore>(launch.host, options));
  } catch (const std::exception&) {
    if (options.isServer) {
      throw BadInput("rendezvous: rank 0 cannot listen at " + place +
                     "; another run may use the port, or MASTER_ADDR is not this machine: set "
                     "MASTER_PORT to a free one, the same for all ranks");
    }
    throw BadInput("rendezvous: " + rank_name(launch.rank, launch.count) + " expected " +
                   (launch.at_agent ? "torchrun's agent" : "rank 0") + " at " + place +
                   ", found nobody within " + waited_text(seconds) +
                   "; check MASTER_ADDR, MASTER_PORT and the firewall, and that rank 0 started");
  }
}

void check_in(c10d::Store& store,
              const Launch& launch,
              const std::string& facts,
              const ProcessGroupTimeouts& limits) {
  if (store.add(key_of("claim", launch.rank), 1) != 1) {
    throw BadInput("rendezvous: expected one process of " + rank_name(launch.rank, launch.count) +
                   ", found two at " + launch.host + ":" + std::to_string(launch.port) +
                   "; check RANK and MASTER_PORT");
  }
  put(store, key_of("place", launch.rank), place_of_this());
  put(store, key_of("sign", launch.rank), "0 0 0");
  put(store, key_of("facts", launch.rank), facts);
  if (launch.rank == 0) {
    const std::string found = complaint(store, launch, facts, limits);
    put(store, kMeeting, found.empty() ? "ok" : found);
    std::this_thread::sleep_for(found.empty() ? Milliseconds(0) : kLinger);
    if (!found.empty()) throw BadInput(found);
    return;
  }
  try {
    store.wait({kMeeting}, milliseconds(limits.meeting + kLonger));
  } catch (const std::exception&) {
    throw BadInput("rendezvous: " + rank_name(launch.rank, launch.count) +
                   " expected word from rank 0 within " + waited_text(limits.meeting) +
                   ", found none; look at the log of rank 0");
  }
  const std::string found = text_of(store.get(kMeeting));
  if (found != "ok") throw RankFailed(found, 2, false);
}

}  // namespace finetune
