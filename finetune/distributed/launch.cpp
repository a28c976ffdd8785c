#include "finetune/distributed/launch.hpp"

#include <cstdlib>

#include "data/base/error.hpp"
#include "data/base/numbers.hpp"

namespace finetune {
namespace {

using data::BadInput;

constexpr int64_t kMostRanks = 1 << 20, kHighestPort = 65535;
constexpr int64_t kUsualPort = 29500;  // torchrun's
constexpr int64_t kFirstSlurmPort = 20000, kSlurmPorts = 10000;

int64_t number(const Environment& environment, const char* name, int64_t low, int64_t high) {
  const std::string text = environment(name);
  const auto value = data::number_of<int64_t>(text);
  if (value && *value >= low && *value <= high) return *value;
  throw BadInput(std::string(name) + ": expected a whole number from " + std::to_string(low) +
                 " to " + std::to_string(high) + " in the environment, found '" + text +
                 "'; start the processes with torchrun, srun or mpirun, or unset it");
}

int64_t number_or(const Environment& environment,
                  const char* name,
                  int64_t low,
                  int64_t high,
                  int64_t otherwise) {
  return environment(name).empty() ? otherwise : number(environment, name, low, high);
}

struct Names {
  const char *by, *rank, *count, *local;
};

Launch named(const Environment& environment, const Names& names) {
  Launch launch;
  launch.by = names.by;
  launch.count = number(environment, names.count, 1, kMostRanks);
  launch.rank = number(environment, names.rank, 0, launch.count - 1);
  launch.local_rank = number_or(environment, names.local, 0, kMostRanks, 0);
  return launch;
}

std::string host_for_mpi(const Environment& environment, const Launch& launch) {
  for (const char* here : {"OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS"}) {
    if (number_or(environment, here, 1, kMostRanks, 0) == launch.count) return "127.0.0.1";
  }
  throw BadInput(
      "MASTER_ADDR: expected the machine of rank 0 in the environment of mpirun on several "
      "machines, found none; add -x MASTER_ADDR=<host>");
}

// Two jobs of one user on one machine must not meet each other.
int64_t slurm_port(const Environment& environment) {
  const int64_t job = number_or(environment, "SLURM_JOB_ID", 0, INT64_MAX / 2, 0),
                step = number_or(environment, "SLURM_STEP_ID", 0, INT64_MAX / 2, 0);
  return kFirstSlurmPort + (job + step) % kSlurmPorts;
}

void find_meeting_place(const Environment& environment, Launch& launch) {
  launch.host = environment("MASTER_ADDR");
  const bool slurm = launch.by == "srun";
  if (launch.host.empty() && slurm) launch.host = first_host(environment("SLURM_STEP_NODELIST"));
  if (launch.host.empty() && launch.by == "mpirun") launch.host = host_for_mpi(environment, launch);
  if (launch.host.empty()) {
    throw BadInput("MASTER_ADDR: expected the machine of rank 0 in the environment beside " +
                   std::string(slurm ? "SLURM_PROCID" : "RANK") +
                   ", found none; start the processes with torchrun, or set it");
  }
  launch.port = number_or(environment, "MASTER_PORT", 1, kHighestPort,
                          slurm ? slurm_port(environment) : kUsualPort);
}

}  // namespace

std::string from_process(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

std::string first_host(const std::string& list) {
  std::string host;
  bool inside = false, skipping = false;
  for (const char letter : list) {
    if (letter == ',' && !inside) break;
    if (letter == '[') {
      inside = true;
    } else if (letter == ']') {
      inside = skipping = false;
    } else if (inside && (letter == ',' || letter == '-')) {
      skipping = true;
    } else if (!skipping) {
      host += letter;
    }
  }
  return host;
}

Launch read_launch(const Environment& environment) {
  const auto has = [&](const char* name) { return !environment(name).empty(); };
  Launch launch;
  if (has("RANK") || has("WORLD_SIZE")) {
    launch = named(environment, {"torchrun", "RANK", "WORLD_SIZE", "LOCAL_RANK"});
    launch.at_agent = environment("TORCHELASTIC_USE_AGENT_STORE") == "True";
    launch.attempt = environment("TORCHELASTIC_RESTART_COUNT");
  } else if (has("SLURM_PROCID") && has("SLURM_STEP_NUM_TASKS")) {
    // sbatch's own script has a SLURM_PROCID too, and is one process.
    launch = named(environment, {"srun", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID"});
  } else if (has("OMPI_COMM_WORLD_RANK")) {
    launch = named(environment, {"mpirun", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE",
                                 "OMPI_COMM_WORLD_LOCAL_RANK"});
  } else if (has("PMI_RANK")) {
    launch = named(environment, {"mpirun", "PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID"});
  }
  if (launch.count == 1) return {};
  find_meeting_place(environment, launch);
  return launch;
}

}  // namespace finetune
