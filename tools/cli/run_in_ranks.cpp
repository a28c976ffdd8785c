#include "tools/cli/run_in_ranks.hpp"

#include <ATen/Version.h>

#include "data/base/error.hpp"
#include "data/base/log.hpp"
#include "data/storage/sha256.hpp"
#include "finetune/policy/methods/policy_methods.hpp"
#include "tools/cli/failure.hpp"
#include "tools/cli/version.hpp"

namespace tools {
namespace {

// Digest of the running program's file.
std::string program_digest() { return data::sha256_of_file("/proc/self/exe").substr(0, 16); }

std::string facts_of(const finetune::Launch& launch, const std::string& configuration) {
  return "laurel = " + std::string(kVersion) + "\nprogram = " + program_digest() +
         "\nranks = " + std::to_string(launch.count) + "\n" + configuration;
}

// Ends all ranks. Rank 0 prints the reason, or this rank where rank 0 cannot know it.
[[noreturn]] void fail(const finetune::ProcessGroup& ranks,
                       const std::string& what,
                       int exit_code) {
  if (ranks.rank == 0) data::log_error(what);
  finetune::abort_process_group(ranks, what, exit_code);
}

int run_together(const finetune::ProcessGroup& ranks,
                 const std::function<int(const finetune::ProcessGroup&)>& body) {
  try {
    return body(ranks);
  } catch (const finetune::RankFailed& lost) {
    if (lost.deputy) data::log_error(lost.what());
    finetune::abort_process_group(ranks, lost.what(), lost.exit_code);
  } catch (const std::exception& error) {
    const Failure failure = failure_of(error);
    fail(ranks, failure.what, failure.exit_code);
  }
}

}  // namespace

int in_ranks(const std::string& configuration,
             const finetune::ProcessGroupTimeouts& limits,
             const std::function<int(const finetune::ProcessGroup& ranks)>& body) {
  const finetune::Launch launch = finetune::read_launch(finetune::from_process);
  if (launch.count == 1) return body({});
  finetune::ProcessGroup ranks;
  try {
    ranks = finetune::init_process_group(launch, facts_of(launch, configuration), limits);
  } catch (const finetune::RankFailed& lost) {
    return lost.exit_code;  // rank 0 prints the reason
  }
  const int code = run_together(ranks, body);
  finetune::destroy_process_group(ranks);
  return code;
}

void expect_alone(const std::string& command) {
  const finetune::Launch launch = finetune::read_launch(finetune::from_process);
  if (launch.count == 1) return;
  std::string methods;
  for (const auto& method : finetune::policy_methods()) methods += method.name + ", ";
  throw data::BadInput(command + ": expected one process, found " + std::to_string(launch.count) +
                       " started by " + launch.by + "; only laurel distill and the methods " +
                       methods +
                       "of laurel finetune run in several processes: start this command alone");
}

}  // namespace tools
