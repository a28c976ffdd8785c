# The PyPI wheel of PyTorch holds Gloo, inside libtorch_cpu, but not its headers, which ProcessGroupGloo.hpp includes.
# Of Gloo's types laurel only passes pointers on, so these are their names and no more. GLOO_NAMES is the include folder;
# a libtorch with Gloo's own headers needs none.
set(GLOO_NAMES "${CMAKE_BINARY_DIR}/gloo_names")
if(EXISTS "${LAUREL_TORCH}/include/gloo/context.h")
  set(GLOO_NAMES "${LAUREL_TORCH}/include")
else()
  file(CONFIGURE OUTPUT "${GLOO_NAMES}/gloo/algorithm.h" CONTENT "#pragma once\n")
  file(CONFIGURE OUTPUT "${GLOO_NAMES}/gloo/common/error.h" CONTENT "#pragma once\n")
  file(CONFIGURE OUTPUT "${GLOO_NAMES}/gloo/context.h" CONTENT "#pragma once
#include <chrono>
namespace gloo {
class Context {
 public:
  void setTimeout(std::chrono::milliseconds timeout);
};
}  // namespace gloo
")
  file(CONFIGURE OUTPUT "${GLOO_NAMES}/gloo/transport/device.h" CONTENT "#pragma once
namespace gloo::transport {
class Device;
class UnboundBuffer;
}  // namespace gloo::transport
")
  file(CONFIGURE OUTPUT "${GLOO_NAMES}/gloo/rendezvous/store.h" CONTENT "#pragma once
#include <chrono>
#include <string>
#include <vector>
namespace gloo::rendezvous {
class Store {
 public:
  virtual ~Store();
  virtual void set(const std::string& key, const std::vector<char>& value) = 0;
  virtual std::vector<char> get(const std::string& key) = 0;
  virtual void wait(const std::vector<std::string>& keys) = 0;
  virtual void wait(const std::vector<std::string>& keys, const std::chrono::milliseconds& timeout) = 0;
};
}  // namespace gloo::rendezvous
")
endif()
