// A libcuda.so.1, and a libnvidia-ml.so.1 in the same file, that say what the environment tells
// them to: FAKE_CUDA_INIT, FAKE_CUDA_VERSION, FAKE_CUDA_GPUS. With it in LD_LIBRARY_PATH laurel
// meets every driver there is, without a card.

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
int cuDeviceGetPCIBusId(char* place, int length, int device) {
  std::strncpy(place, device == 0 ? "0000:65:00.0" : "0000:b3:00.0", static_cast<size_t>(length));
  return 0;
}

int nvmlInit_v2() { return 0; }
int nvmlDeviceGetHandleByPciBusId_v2(const char* place, void** card) {
  static int known = 0;
  *card = &known;
  return std::strcmp(place, "0000:65:00.0") == 0 ? 0 : 6;  // NVML_ERROR_NOT_FOUND
}
int nvmlDeviceGetUtilizationRates(void*, unsigned* percents) {
  percents[0] = 75;
  percents[1] = 40;
  return 0;
}
int nvmlDeviceGetMemoryInfo(void*, unsigned long long* bytes) {
  bytes[0] = 24ull << 30;
  bytes[1] = 18ull << 30;
  bytes[2] = 6ull << 30;
  return 0;
}
}
