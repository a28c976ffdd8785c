#pragma once

// Editing commands as a user runs them, with a tiny editor and pictures of several sizes.

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "data/base/error.hpp"
#include "data/images/image_io.hpp"
#include "diffusion/checkpoints/diffusers_folder.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/tiny/edit_task.hpp"

namespace tests {

namespace fs = std::filesystem;

// A folder with a tiny editor and pictures of several sizes.
struct Place {
  fs::path folder;
  std::string at(const std::string& name) const { return (folder / name).string(); }
};

inline Place place(const std::string& name) {
  const Place made{fresh_folder(name)};
  auto pipeline = tiny_editor();
  unsilence(diffusion::unet_of(pipeline.network));
  diffusion::save_pipeline(made.folder / "model", pipeline, at::kFloat);
  auto generator = at::detail::createCPUGenerator(1);
  data::write_png(made.folder / "a.png", at::rand({3, 16, 16}, generator));
  data::write_png(made.folder / "wide.png", at::rand({3, 20, 40}, generator));
  return made;
}

struct Outcome {
  int code = 0;
  std::string out, err;
};
inline Outcome run(const std::function<int(const std::vector<std::string>&)>& command,
                   const std::vector<std::string>& arguments) {
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  Outcome outcome;
  try {
    outcome.code = command(arguments);
  } catch (const data::BadInput& error) {
    outcome.code = 2;
    outcome.err = error.what();
  }
  outcome.err += testing::internal::GetCapturedStderr();
  outcome.out = testing::internal::GetCapturedStdout();
  return outcome;
}

}  // namespace tests
