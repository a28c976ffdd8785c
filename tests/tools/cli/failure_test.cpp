#include "tools/cli/failure.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <new>
#include <nlohmann/json.hpp>

#include "data/base/error.hpp"
#include "data/device/memory.hpp"
#include "tools/sample/memory_fit.hpp"

namespace {

// The message for an exception of `act`.
template <class Act>
tools::Failure failure(const Act& act) {
  try {
    act();
  } catch (const std::exception& error) {
    return tools::failure_of(error);
  }
  return {"nothing was thrown", 0};
}

TEST(Failure, BadInputIsSaidAsItIs) {
  const auto said = failure([] { throw data::BadInput("x: expected a, found b"); });
  EXPECT_EQ(said.what, "x: expected a, found b");
  EXPECT_EQ(said.exit_code, 2);
}

TEST(Failure, TooLittleMemoryIsALineWithWhatToDo) {
  const auto expect = [](const tools::Failure& said, const std::string& cause) {
    EXPECT_EQ(said.exit_code, 2);
    EXPECT_EQ(said.what.find('\n'), std::string::npos) << said.what;
    EXPECT_NE(said.what.find("out of memory (" + cause), std::string::npos) << said.what;
    EXPECT_NE(said.what.find("; lower"), std::string::npos) << said.what;
  };
  expect(failure([] {
           TORCH_CHECK_WITH(OutOfMemoryError, false,
                            "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has ...");
         }),
         "CUDA out of memory. Tried to allocate 20.00 MiB)");
  expect(failure([] { at::empty({int64_t{1} << 52}); }), "DefaultCPUAllocator: ");
  expect(failure([] { throw std::bad_alloc(); }), "");
}

TEST(Failure, AdviceIsOfTheCommand) {
  const std::string lower = "--batch_size (now 8)";
  const auto said =
      failure([&] { tools::with_advice("laurel sample", lower, [] { throw std::bad_alloc(); }); });
  EXPECT_EQ(said.what, "laurel sample: out of memory (std::bad_alloc); lower --batch_size (now 8)");
  EXPECT_EQ(said.exit_code, 2);
  const auto other = failure(
      [&] { tools::with_advice("laurel sample", lower, [] { throw std::runtime_error("x"); }); });
  EXPECT_EQ(other.what, "x");
}

TEST(Failure, NoTextOfALibraryIsShownForBadInput) {
  const auto expect = [](const tools::Failure& said, const std::string& what) {
    EXPECT_EQ(said.exit_code, 2);
    EXPECT_EQ(said.what, what);
  };
  expect(failure([] { nlohmann::json("a").get<int>(); }),
         "a value in a JSON file is of another kind than laurel expects there");
  expect(failure([] { std::stod("x"); }), "a number in a file is none, or too large");
  expect(failure([] { return std::filesystem::file_size("/nonexistent"); }),
         "/nonexistent: No such file or directory");
  expect(failure([] { throw data::BadInput("a\x1b\nb"); }), "a\\u001b\\u000ab");
}

TEST(Failure, AnythingElseIsAFault) {
  const auto fault = failure([] { at::mm(at::zeros({2, 3}), at::zeros({2, 3})); });
  EXPECT_EQ(fault.exit_code, 1);
  EXPECT_TRUE(fault.what.starts_with("internal error: ")) << fault.what;
  EXPECT_EQ(failure([] { throw std::runtime_error("x"); }).exit_code, 1);
}

TEST(SizeThatFits, ShrinksBothSidesAlike) {
  EXPECT_EQ(tools::size_that_fits(1024, 512, 0.25), "what would fit: about 512x256");
  EXPECT_EQ(tools::size_that_fits(512, 512, 0.9), "what would fit: about 448x448");
  EXPECT_NE(tools::size_that_fits(512, 512, 0.001).find("no smaller image"), std::string::npos);
  EXPECT_NE(tools::size_that_fits(512, 512, -1).find("no smaller image"), std::string::npos);
}

}  // namespace
