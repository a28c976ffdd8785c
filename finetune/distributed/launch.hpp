#pragma once

// Which process of how many this is, and where they meet, as the launcher says in its variables.

#include <cstdint>
#include <functional>
#include <string>

namespace finetune {

struct Launch {
  int64_t rank = 0, count = 1;
  int64_t local_rank = 0;  // among those of this machine: its GPU
  std::string by;          // "torchrun", "srun", "mpirun"; empty: started alone
  std::string host;        // where the processes meet
  int64_t port = 0;
  bool at_agent = false;  // torchrun's agent listens there; else rank 0 does
  std::string attempt;    // torchrun's count of restarts
};

// The value of a variable, "" where it is not set.
using Environment = std::function<std::string(const char* name)>;
std::string from_process(const char* name);  // getenv

// Reads RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT (torchrun, or set by hand); or
// SLURM_PROCID, SLURM_STEP_NUM_TASKS, SLURM_LOCALID, SLURM_STEP_NODELIST (srun); or
// OMPI_COMM_WORLD_RANK, _SIZE, _LOCAL_RANK (Open MPI); or PMI_RANK, PMI_SIZE (MPICH). Without any,
// or with a count of 1: alone. Throws BadInput that names the variable where one is missing or is
// not a number in its range.
Launch read_launch(const Environment& environment);

// The first name of Slurm's list of machines: "gpu[03-05,9],x1" -> "gpu03"
std::string first_host(const std::string& list);

}  // namespace finetune
