// A libcuda.so.1 that says what the environment tells it to: FAKE_CUDA_INIT, FAKE_CUDA_VERSION,
// FAKE_CUDA_GPUS. With it in LD_LIBRARY_PATH laurel meets every driver there is, without a card.

#include <cstddef>
#include <cstdlib>
#include <cstring>

namespace {

int told(const char* name, int otherwise) {
  const char* value = std::getenv(name);
  return value ? std::atoi(value) : otherwise;
}

}  // namespace

extern "C" {

int cuInit(unsigned) { return told("FAKE_CUDA_INIT", 0); }
int cuDriverGetVersion(int* version) {
  *version = told("FAKE_CUDA_VERSION", 13000);
  return 0;
}
int cuDeviceGetCount(int* count) {
  *count = told("FAKE_CUDA_GPUS", 1);
  return 0;
}
int cuDeviceGet(int* device, int ordinal) {
  *device = ordinal;
  return 0;
}
int cuDeviceGetName(char* name, int length, int) {
  std::strncpy(name, "Imagined GPU", static_cast<size_t>(length));
  return 0;
}
int cuDeviceTotalMem_v2(size_t* bytes, int) {
  *bytes = size_t{24} << 30;
  return 0;
}
}
