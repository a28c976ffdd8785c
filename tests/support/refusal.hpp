#pragma once

// What bad input is answered with.

#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "data/base/error.hpp"

// The message of the BadInput that `act` throws, which is one line; "": it throws none.
inline std::string refusal(const std::function<void()>& act) {
  try {
    act();
  } catch (const data::BadInput& error) {
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
    return error.what();
  }
  return "";
}
