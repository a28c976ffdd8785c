#include "tools/cli/failure.hpp"

#include <c10/util/Exception.h>

#include "data/base/error.hpp"
#include "data/device/memory.hpp"

namespace tools {

Failure failure_of(const std::exception& error) {
  if (dynamic_cast<const data::BadInput*>(&error)) return {error.what(), kBadInput};
  if (data::is_out_of_memory(error)) {
    return {"out of memory (" + data::memory_fault(error) +
                "); lower the batch size or the resolution, or close other programs",
            kBadInput};
  }
  const auto* fault = dynamic_cast<const c10::Error*>(&error);
  return {fault ? std::string("internal error: ") + fault->what_without_backtrace() : error.what(),
          kFailed};
}

void with_advice(const std::string& command,
                 const std::string& what_to_lower,
                 const std::function<void()>& work) {
  try {
    work();
  } catch (const std::exception& error) {
    if (!data::is_out_of_memory(error)) throw;
    throw data::BadInput(command + ": out of memory (" + data::memory_fault(error) + "); lower " +
                         what_to_lower);
  }
}

}  // namespace tools
