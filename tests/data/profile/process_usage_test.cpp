#include "data/profile/process_usage.hpp"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <ctime>

namespace {

constexpr size_t kPages = 500;

TEST(ProcessUsage, CountsThePagesThatAreTouched) {
  const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  void* block =
      ::mmap(nullptr, kPages * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(block, MAP_FAILED);
  ::madvise(block, kPages * page, MADV_NOHUGEPAGE);
  const auto before = data::process_usage();
  for (size_t i = 0; i < kPages; ++i) static_cast<volatile char*>(block)[i * page] = 1;
  EXPECT_GE(data::usage_since(before).page_faults, static_cast<double>(kPages));
  ::munmap(block, kPages * page);
}

TEST(ProcessUsage, AddsUpToTheProcessorsTime) {
  const auto before = data::process_usage();
  const std::clock_t start = std::clock();
  volatile double sum = 0;
  while (std::clock() - start < CLOCKS_PER_SEC / 5) sum = sum + 1;
  const auto used = data::usage_since(before);
  EXPECT_NEAR(used.user + used.system, 0.2, 0.05);
  EXPECT_GE(used.user, 0);
  EXPECT_GE(used.system, 0);
}

}  // namespace
