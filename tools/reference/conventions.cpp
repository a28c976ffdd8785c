#include "tools/reference/conventions.hpp"

#include <algorithm>

namespace tools {

const std::vector<Convention>& exit_codes() {
  static const std::vector<Convention> rows{
      {"0", "done"},
      {"1", "a fault of laurel or of the machine"},
      {"2", "bad input, which the message names with what to do; some inputs may have been done"},
      {"3", "the guard rejected the last model of a training run; the run left the accepted one"},
      {"128+n", "signal n stopped a training run after it saved: 130 after Ctrl-C"},
  };
  return rows;
}

const std::vector<Convention>& environment_variables() {
  static const std::vector<Convention> rows{
      {"LAUREL_MODELS", "folder of the embedded models"},
      {"LAUREL_PROFILE", "any value: print where a command's time went"},
      {"HF_HOME", "Hugging Face's cache is in its hub/; laurel reads it and downloads nothing"},
      {"HF_HUB_CACHE", "Hugging Face's cache itself; HUGGINGFACE_HUB_CACHE does the same"},
      {"XDG_CACHE_HOME", "caches: huggingface/ and laurel/ (digests of model files) [~/.cache]"},
      {"OMP_NUM_THREADS", "threads of the processor"},
      {"MKL_CBWR", "numerical mode of Intel's MKL [AUTO,STRICT, for runs of equal bits]"},
      {"CUDA_VISIBLE_DEVICES", "the GPUs that may be used"},
      {"RANK",
       "with WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT, from torchrun: processes"},
      {"SLURM_PROCID", "and SLURM's other variables, from srun: processes of one run"},
      {"OMPI_COMM_WORLD_RANK", "and PMI_RANK, with their relatives, from mpirun: the same"},
      {"GLOO_SOCKET_IFNAME", "network interface between the processes"},
      {"TORCH_CPP_LOG_LEVEL", "any value: libtorch says more of the connection of processes"},
      {"NO_COLOR", "nothing to turn off: laurel prints no colours, and a bar on terminals alone"},
  };
  return rows;
}

std::string convention_lines(const std::vector<Convention>& rows, size_t column) {
  std::string lines;
  for (const auto& row : rows) {
    std::string name = row.name;
    name.resize(std::max(name.size() + 1, column), ' ');
    lines += "  " + name + row.meaning + "\n";
  }
  return lines;
}

}  // namespace tools
