#pragma once

// A studio that listens on a free port, with two prompts of six pictures.

#include <gtest/gtest.h>

#include <memory>

#include "tests/support/fresh_folder.hpp"
#include "tests/support/studio_pictures.hpp"
#include "tools/studio/app.hpp"
#include "tools/studio/server/network.hpp"

namespace tests {

struct ServedStudio : testing::Test {
  DrawnStore drawn{fresh_folder(), 2, 6};
  studio::App app{.guard = {},
                  .store = drawn.store,
                  .session = std::make_unique<studio::Session>(
                      drawn.store, std::vector<int64_t>(), studio::Learner::Look(), 1)};
  data::HttpServer server{
      "127.0.0.1", 0,
      [this](const data::HttpRequest& request) { return studio::answer(app, request); },
      studio::kServerLimits};

  void SetUp() override { app.guard = studio::make_guard(server.port(), {}); }
};

}  // namespace tests
