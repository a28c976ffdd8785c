#define USE_C10D_GLOO
#include "finetune/distributed/process_group.hpp"

#include <ATen/ATen.h>
#include <c10/util/Logging.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <iostream>
#include <sstream>
#include <thread>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>

#include "data/base/error.hpp"
#include "data/base/log.hpp"
#include "finetune/distributed/heartbeat.hpp"
#include "finetune/distributed/nccl_loader.hpp"
#include "finetune/distributed/rendezvous.hpp"

namespace finetune {

// Declared in the order in which they are needed: the sums go first, the store last.
struct Group {
  Launch launch;
  ProcessGroupTimeouts limits;
  c10::intrusive_ptr<c10d::Store> store;
  std::unique_ptr<HeartbeatMonitor> watch;
  CommunicationStats exchanged{};
  c10::intrusive_ptr<c10d::Backend> gloo;
  c10::intrusive_ptr<c10d::Backend> nccl;  // of tensors on GPUs; null: they go through the host
  bool nccl_sought = false;
};

namespace {

using data::BadInput;

constexpr auto kPoll = std::chrono::microseconds(100);
constexpr auto kNever = std::chrono::hours(24 * 7);  // the watch decides who is lost
constexpr double kSecondsToBlame = 20;  // after a connection broke, until somebody is found silent
constexpr double kSecondsToSave = 25;   // launchers kill 30 s after they ask
constexpr int kFatalOnly = 3;
constexpr auto kTimeToRead = std::chrono::seconds(5);
constexpr const char* kClosed = "closed";

SharedStore shared(const StorePointer& store) {
  return {
      .set = [store](const std::string& key, const std::string& value) { put(*store, key, value); },
      .get =
          [store](const std::vector<std::string>& keys) {
            std::vector<std::string> values;
            for (const auto& value : store->multiGet(keys)) values.push_back(text_of(value));
            return values;
          },
      .has = [store](const std::string& key) { return store->check({key}); }};
}

std::unique_ptr<HeartbeatMonitor> begin_watch(const Group& group) {
  const Launch& launch = group.launch;
  HeartbeatOptions signs{launch.rank, launch.count, group.limits.silence, {}};
  for (const auto& place :
       group.store->multiGet(keys_of("place", launch.rank == 0 ? launch.count : 1)))
    signs.places.push_back(text_of(place));
  return std::make_unique<HeartbeatMonitor>(shared(group.store->clone()), signs);
}

// GLOO_SOCKET_IFNAME names the network, as in PyTorch.
std::shared_ptr<gloo::transport::Device> network(const Launch& launch) {
  const std::string interface = from_process("GLOO_SOCKET_IFNAME");
  if (!interface.empty()) return c10d::ProcessGroupGloo::createDeviceForInterface(interface);
  if (launch.host == "127.0.0.1" || launch.host == "localhost")
    return c10d::ProcessGroupGloo::createDeviceForHostname("127.0.0.1");
  return c10d::ProcessGroupGloo::createDefaultDevice();
}

[[noreturn]] void throw_loss(const ProcessGroup& ranks, const RankFailure& loss) {
  const int64_t teller = loss.rank == 0 && !loss.told ? 1 : 0;
  throw RankFailed(loss.what, loss.exit_code, ranks.rank == teller && loss.rank != ranks.rank);
}

// A connection broke: waits for the watch to say whose.
[[noreturn]] void blame(const ProcessGroup& ranks, const std::string& message) {
  HeartbeatMonitor& watch = *ranks.group->watch;
  watch.hurry();
  const auto end = std::chrono::steady_clock::now() +
                   milliseconds(std::max(kSecondsToBlame, ranks.group->limits.silence));
  while (std::chrono::steady_clock::now() < end) {
    if (const auto loss = watch.loss()) throw_loss(ranks, *loss);
    std::this_thread::sleep_for(Milliseconds(20));
  }
  throw_loss(ranks, {-1, "the connection between the ranks broke, though all live: " +
                             message.substr(0, message.find('\n'))});
}

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

struct Waiting {
  explicit Waiting(Group& all) : group(all) { group.watch->begin_wait(); }
  ~Waiting() {
    group.watch->end_wait();
    group.exchanged.seconds += now() - since;
  }
  Group& group;
  double since = now();
};

void finish(const ProcessGroup& ranks, const c10::intrusive_ptr<c10d::Work>& work) {
  HeartbeatMonitor& watch = *ranks.group->watch;
  const Waiting waiting(*ranks.group);
  while (!work->isCompleted()) {
    if (const auto loss = watch.loss()) throw_loss(ranks, *loss);
    std::this_thread::sleep_for(kPoll);
  }
  try {
    if (work->exception()) std::rethrow_exception(work->exception());
  } catch (const std::exception& error) {
    blame(ranks, error.what());
  }
  work->synchronize();
}

// NCCL where every rank has it.
void seek_nccl(const ProcessGroup& ranks) {
  Group& group = *ranks.group;
  if (group.nccl_sought) return;
  group.nccl_sought = true;
  const OpenNccl open = find_nccl();
  if (!open) data::log_warning("rank " + std::to_string(ranks.rank) + ": " + nccl_problem());
  if (any_rank(ranks, open == nullptr)) return;
  const auto store = c10::make_intrusive<c10d::PrefixStore>("nccl", group.store);
  group.nccl = c10::intrusive_ptr<c10d::Backend>::reclaim(
      open(store.get(), static_cast<int>(ranks.rank), static_cast<int>(ranks.count)));
}

// The tensor where a backend reaches it: itself, or a copy on the host.
at::Tensor reachable(const ProcessGroup& ranks, const at::Tensor& tensor) {
  TORCH_CHECK(tensor.is_contiguous(), "ranks: expected a contiguous tensor");
  if (!tensor.is_cpu()) seek_nccl(ranks);
  return ranks.group->nccl ? tensor : tensor.cpu();
}

void copy_back(const at::Tensor& reached, const at::Tensor& tensor) {
  if (!reached.is_same(tensor)) at::Tensor(tensor).copy_(reached);
}

c10d::Backend& backend_of(const ProcessGroup& ranks, const at::Tensor& reached) {
  ranks.group->exchanged.bytes += static_cast<double>(reached.nbytes());
  return reached.is_cpu() ? *ranks.group->gloo : *ranks.group->nccl;
}

c10::intrusive_ptr<c10d::Work> begin_sum(const ProcessGroup& ranks, const at::Tensor& tensor) {
  std::vector<at::Tensor> list{tensor};
  c10d::AllreduceOptions options;
  options.timeout = std::chrono::duration_cast<Milliseconds>(kNever);
  return backend_of(ranks, tensor).allreduce(list, options);
}

// The headers and the library of c10d are not of one build: what is used must work.
void test_collectives(const ProcessGroup& ranks) {
  const double expected =
      static_cast<double>(ranks.count) * static_cast<double>(ranks.count + 1) / 2;
  for (const auto type : {at::kFloat, at::kDouble, at::kLong, at::kByte}) {
    const bool small = type == at::kByte;
    const at::Tensor sum =
        at::full({5}, small ? ranks.rank == 0 : ranks.rank + 1, at::TensorOptions().dtype(type));
    all_reduce_sum(ranks, sum);
    if (!(sum.to(at::kDouble) == (small ? 1.0 : expected)).all().item<bool>())
      throw std::runtime_error("self-test: sums over the ranks are wrong in this libtorch");
  }
  const at::Tensor sent = at::full({5}, static_cast<double>(ranks.rank));
  broadcast(ranks, ranks.count - 1, sent);
  if (!(sent == static_cast<double>(ranks.count - 1)).all().item<bool>())
    throw std::runtime_error("self-test: sending among the ranks is wrong in this libtorch");
}

// Rank 0 keeps the store: before it ends, the others that live must have read what happened.
void wait_for_readers(const Group& group, int64_t readers) {
  const auto end = std::chrono::steady_clock::now() + kTimeToRead;
  const auto keys = keys_of("left", group.launch.count);
  const auto read = [&] {
    return std::count_if(keys.begin(), keys.end(),
                         [&](const auto& key) { return group.store->check({key}); });
  };
  while (read() < readers && std::chrono::steady_clock::now() < end)
    std::this_thread::sleep_for(Milliseconds(20));
  std::this_thread::sleep_for(Milliseconds(100));
}

void part_with_others(const ProcessGroup& ranks, const std::string& what, int exit_code) {
  Group& group = *ranks.group;
  const auto loss = group.watch->loss();
  if (loss && loss->rank == 0 && !loss->told) return;  // a stopped store answers nobody
  group.watch->fail(what, exit_code);
  try {
    put(*group.store, ranks.rank == 0 ? kClosed : key_of("left", ranks.rank), "");
    if (ranks.rank == 0)
      wait_for_readers(group, ranks.count - (loss && !loss->told ? 2 : 1));
    else
      group.store->wait({kClosed}, milliseconds(kSecondsToSave));
  } catch (const std::exception&) {
    // Rank 0, which keeps the store, has ended.
  }
}

}  // namespace

ProcessGroup init_process_group(const Launch& launch,
                                const std::string& facts,
                                const ProcessGroupTimeouts& limits) {
  if (launch.count == 1) return {};
  // What c10d warns of, with a stack each time, is said here in a line.
  if (from_process("TORCH_CPP_LOG_LEVEL").empty()) FLAGS_caffe2_log_level = kFatalOnly;
  ProcessGroup ranks{launch.rank, launch.count, std::make_shared<Group>(), launch.local_rank};
  Group& group = *ranks.group;
  group.launch = launch;
  group.limits = limits;
  group.store = open_store(launch, limits.meeting);
  check_in(*group.store, launch, facts, limits);
  group.watch = begin_watch(group);
  auto options = c10d::ProcessGroupGloo::Options::create(milliseconds(limits.meeting));
  options->devices.push_back(network(launch));
  group.gloo = c10::make_intrusive<c10d::ProcessGroupGloo>(
      c10::make_intrusive<c10d::PrefixStore>("gloo", group.store), static_cast<int>(launch.rank),
      static_cast<int>(launch.count), options);
  test_collectives(ranks);
  return ranks;
}

void destroy_process_group(ProcessGroup& ranks) {
  if (!ranks.group) return;
  any_rank(ranks, false);  // all are done
  Group& group = *ranks.group;
  group.watch->stop();
  put(*group.store, key_of("left", ranks.rank), "");
  try {
    if (ranks.rank == 0) {
      group.store->wait(keys_of("left", ranks.count), milliseconds(group.limits.silence));
      put(*group.store, kClosed, "");
    } else {
      group.store->wait({kClosed}, milliseconds(group.limits.silence));
    }
  } catch (const std::exception&) {
    // The others are gone already: that is all that was waited for.
  }
  ranks.group.reset();
}

void abort_process_group(const ProcessGroup& ranks, const std::string& what, int exit_code) {
  std::cout.flush();
  if (ranks.group) part_with_others(ranks, what, exit_code);
  // Threads of the connections may still wait for the rank that was lost.
  std::_Exit(exit_code);
}

void all_reduce_sum(const ProcessGroup& ranks, const at::Tensor& tensor) {
  all_reduce_sum_each(ranks, {tensor});
}

void all_reduce_sum_each(const ProcessGroup& ranks, const std::vector<at::Tensor>& tensors) {
  if (!ranks.group) return;
  std::vector<at::Tensor> reached;
  std::vector<c10::intrusive_ptr<c10d::Work>> works;
  for (const auto& tensor : tensors) {
    reached.push_back(reachable(ranks, tensor));
    works.push_back(begin_sum(ranks, reached.back()));
  }
  for (size_t i = 0; i < tensors.size(); ++i) {
    finish(ranks, works[i]);
    copy_back(reached[i], tensors[i]);
  }
}

void broadcast(const ProcessGroup& ranks, int64_t from, const at::Tensor& tensor) {
  if (!ranks.group) return;
  const at::Tensor reached = reachable(ranks, tensor.contiguous());
  std::vector<at::Tensor> list{reached};
  c10d::BroadcastOptions options;
  options.rootRank = from;
  options.timeout = std::chrono::duration_cast<Milliseconds>(kNever);
  finish(ranks, backend_of(ranks, reached).broadcast(list, options));
  copy_back(reached, tensor);
}

bool any_rank(const ProcessGroup& ranks, bool here) {
  const at::Tensor count = at::full({1}, here ? 1 : 0, at::kLong);
  all_reduce_sum(ranks, count);
  return count.item<int64_t>() > 0;
}

std::vector<std::string> all_gather_text(const ProcessGroup& ranks, const std::string& here) {
  const at::Tensor sizes = at::zeros({ranks.count}, at::kLong);
  sizes[ranks.rank] = static_cast<int64_t>(here.size());
  all_reduce_sum(ranks, sizes);
  const at::Tensor bytes =
      at::zeros({ranks.count, std::max<int64_t>(1, sizes.max().item<int64_t>())}, at::kByte);
  std::copy(here.begin(), here.end(), bytes[ranks.rank].data_ptr<uint8_t>());
  all_reduce_sum(ranks, bytes);
  std::vector<std::string> texts;
  for (int64_t rank = 0; rank < ranks.count; ++rank) {
    const auto* first = reinterpret_cast<const char*>(bytes[rank].data_ptr<uint8_t>());
    texts.emplace_back(first, static_cast<size_t>(sizes[rank].item<int64_t>()));
  }
  return texts;
}

void check_equal_on_ranks(const ProcessGroup& ranks,
                          const std::string& what,
                          const std::string& here,
                          const std::string& remedy) {
  if (!ranks.group) return;
  const auto texts = all_gather_text(ranks, here);
  for (int64_t rank = 1; rank < ranks.count; ++rank) {
    const std::string& found = texts[static_cast<size_t>(rank)];
    if (found == texts[0]) continue;
    throw BadInput(what + ": expected that of rank 0, " + texts[0] + ", found " + found + " at " +
                   rank_name(rank, ranks.count) + "; " + remedy);
  }
}

CommunicationStats communication_stats(const ProcessGroup& ranks) {
  return ranks.group ? ranks.group->exchanged : CommunicationStats{};
}

void heartbeat(const ProcessGroup& ranks) {
  if (ranks.group) ranks.group->watch->heartbeat();
}

WaitGuard::WaitGuard(const ProcessGroup& ranks) : group_(ranks.group) {
  if (group_) group_->watch->begin_wait();
}

WaitGuard::~WaitGuard() {
  if (!group_) return;
  group_->watch->heartbeat();
  group_->watch->end_wait();
}

ActivityGuard::ActivityGuard(const ProcessGroup& ranks) : group_(ranks.group) {
  if (!group_) return;
  group_->watch->heartbeat();
  group_->watch->begin_work();
}

ActivityGuard::~ActivityGuard() {
  if (group_) group_->watch->end_work();
}

}  // namespace finetune
