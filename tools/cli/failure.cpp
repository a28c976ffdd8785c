#include "tools/cli/failure.hpp"

#include <c10/util/Exception.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "data/base/error.hpp"
#include "data/device/memory.hpp"
#include "data/unicode/utf8.hpp"

namespace tools {

namespace {

constexpr size_t kLongestLine = 4000;  // bytes

// Exceptions of libraries that bad input has raised where no reader of ours named it: what was
// wrong, in words of ours. "": a fault.
std::string misread(const std::exception& error) {
  if (const auto* fault = dynamic_cast<const std::filesystem::filesystem_error*>(&error))
    return fault->path1().string() + ": " + fault->code().message();
  if (dynamic_cast<const nlohmann::json::exception*>(&error))
    return "a value in a JSON file is of another kind than laurel expects there";
  const std::string what = error.what();
  if (what.starts_with("sto")) return "a number in a file is none, or too large";  // stod, stoll
  if (dynamic_cast<const std::length_error*>(&error)) return "a size in a file is impossible";
  return "";
}

}  // namespace

Failure failure_of(const std::exception& error) {
  if (dynamic_cast<const data::BadInput*>(&error))
    return {data::printable(data::shortened(error.what(), kLongestLine)), kBadInput};
  if (const std::string what = misread(error); !what.empty())
    return {data::printable(what), kBadInput};
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
