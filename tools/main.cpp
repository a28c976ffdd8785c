#include <chrono>
#include <cstdlib>
#include <exception>
#include <iostream>

#include "data/base/format.hpp"
#include "data/base/log.hpp"
#include "data/device/memory.hpp"
#include "data/profile/matmul_ceiling.hpp"
#include "data/profile/op_profiler.hpp"
#include "tools/cli/console/terminal.hpp"
#include "tools/cli/failure.hpp"
#include "tools/cli/version.hpp"
#include "tools/commands.hpp"
#include "tools/reference/conventions.hpp"

// On the CPU libtorch computes matrix products and attention with MKL. MKL calls this function to
// learn whether the processor is Intel's; otherwise it avoids its AVX-512 kernels, even where the
// processor has AVX-512. Returning 1 makes it check the processor's features alone. Measured under
// Python with the same override on an AMD EPYC: products 1.2 times as fast, attention 1.15.
extern "C" __attribute__((visibility("default"))) int mkl_serv_intel_cpu_true() { return 1; }

namespace {

// The last bits of MKL's products depend on where the matrices lie in memory, unless this is set
// before the first of them: a resumed run would not equal the uninterrupted one. Measured on an AMD
// EPYC, one thread, seconds of the processor: a finetuning of the whole UNet 1.98 with it and 2.04
// without, 16 images 1.51 and 1.53. A value of the user's own stays.
void make_products_reproducible() { ::setenv("MKL_CBWR", "AUTO,STRICT", /*overwrite=*/0); }

void print_help() {
  std::cout << "laurel <command> [options]\n"
               "Samples images from latent-diffusion checkpoints, scores them with rewards, and "
               "finetunes the UNet on these rewards.\n\n";
  std::cout << tools::command_lines(tools::all_commands(), 14);
  std::cout << "\n`laurel <command> --help` lists a command's options; `laurel --version` prints "
               "the version.\nEvery command takes --log-level, --log-file and --log-json.\n\n"
               "Exit codes:\n"
            << tools::convention_lines(tools::exit_codes(), 8)
            << "Environment: `laurel man` lists the variables.\n";
}

int run(const std::vector<std::string>& arguments) {
  if (tools::asks_for_help(arguments) || arguments[0] == "help") {
    print_help();
    return arguments.empty() ? tools::kBadInput : 0;
  }
  if (arguments[0] == "--version") {
    std::cout << "laurel " << tools::kVersion << "\n";
    return 0;
  }
  return tools::run_command(tools::all_commands(), "laurel", arguments);
}

// With LAUREL_PROFILE set, prints a profile of the command on stderr.
int run_profiled(const std::vector<std::string>& arguments) {
  if (!std::getenv("LAUREL_PROFILE")) return run(arguments);
  int code = 0;
  const data::OpTimes times = data::op_times([&] { code = run(arguments); });
  data::log_info(data::op_times_text(times, data::matmul_ceiling(at::kCPU, at::kFloat, 3)));
  return code;
}

// The exit code of a command that ended with `code`.
int after_output(int code) {
  if (tools::flush_output()) return code;
  data::log_error("standard output cannot be written to its end; is the disk full?");
  return code == 0 ? tools::kBadInput : code;
}

}  // namespace

int main(int argc, char** argv) {
  const tools::SafeOutput output;
  const auto start = std::chrono::steady_clock::now();
  data::keep_freed_memory();
  make_products_reproducible();
  try {
    const int code = after_output(run_profiled({argv + 1, argv + argc}));
    const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - start;
    data::log_debug(data::formatted("exit code %d after %.2f s", code, spent.count()));
    return code;
  } catch (const std::exception& error) {
    const tools::Failure failure = tools::failure_of(error);
    data::log_error(failure.what);
    return failure.exit_code;
  }
}
