#pragma once

// What Python's packages computed (tests/golden/make_*.py), and how far laurel is from it.
// tools/parity makes the files anew, points LAUREL_GOLDEN at them and reads LAUREL_PARITY_LOG.

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/support/paths.hpp"

namespace golden {

inline std::filesystem::path folder() {
  if (const char* named = std::getenv("LAUREL_GOLDEN")) return named;
  return std::filesystem::path(tests::source_dir()) / "tests" / "golden";
}

// Expects `error` <= `tolerance`; notes both under `part`, one line a call, where
// LAUREL_PARITY_LOG names a file.
inline void expect_agreement(const std::string& part, double error, double tolerance) {
  EXPECT_LE(error, tolerance) << part;
  if (const char* log = std::getenv("LAUREL_PARITY_LOG"))
    std::ofstream(log, std::ios::app) << part << '\t' << error << '\t' << tolerance << '\n';
}

}  // namespace golden
