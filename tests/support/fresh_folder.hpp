#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>

namespace tests {

// An empty folder of this test's own, or of its suite where no test runs. A test that needs several
// names each.
inline std::filesystem::path fresh_folder(const std::string& name = "") {
  const auto* unit = testing::UnitTest::GetInstance();
  std::string label = "laurel";
  if (const auto* suite = unit->current_test_suite()) label += std::string("_") + suite->name();
  if (const auto* test = unit->current_test_info()) label += std::string("_") + test->name();
  if (!name.empty()) label += "_" + name;
  std::replace(label.begin(), label.end(), '/', '_');  // of tests with parameters
  const std::filesystem::path folder = std::filesystem::path(testing::TempDir()) / label;
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  return folder;
}

}  // namespace tests
