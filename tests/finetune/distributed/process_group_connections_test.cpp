// What several processes tell each other, and their end when one is lost.

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <csignal>
#include <functional>
#include <stdexcept>
#include <thread>

#include "data/base/error.hpp"
#include "finetune/distributed/row_shard.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/rank_processes.hpp"
#include "tools/cli/run_in_ranks.hpp"

namespace {

namespace fs = std::filesystem;
using finetune::ProcessGroup;

// A test of the connections alone: `part` is what each rank does. Returns what rank 0 said.
std::string said_in_ranks(const std::vector<int>& expected_codes,
                          const finetune::ProcessGroupTimeouts& limits,
                          const std::function<void(const ProcessGroup&)>& part) {
  if (tests::is_rank()) {
    const int code = tools::in_ranks("", limits, [&](const ProcessGroup& ranks) {
      part(ranks);
      return 0;
    });
    std::exit(code);
  }
  const fs::path folder = tests::fresh_folder("ranks");
  const auto ranks = tests::start_ranks(static_cast<int>(expected_codes.size()), folder);
  EXPECT_EQ(tests::wait_for(ranks, 60), expected_codes) << tests::logs_of(folder);
  return tests::text_of(folder / "rank-0.log");
}

bool found(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(ProcessGroup, SumsTextsAndRowsAreThoseOfAll) {
  said_in_ranks({0, 0, 0}, {60, 40}, [](const ProcessGroup& ranks) {
    const auto expect = [](bool holds, const char* what) {
      if (!holds) throw std::runtime_error(what);
    };
    const at::Tensor sum = at::full({2}, static_cast<double>(ranks.rank), at::kDouble);
    finetune::all_reduce_sum(ranks, sum);
    expect(sum[1].item<double>() == 3, "add_up");
    expect(finetune::any_rank(ranks, ranks.rank == 2), "on_any");
    expect(!finetune::any_rank(ranks, false), "on_any of none");
    const std::string own(static_cast<size_t>(ranks.rank), 'x');
    expect(finetune::all_gather_text(ranks, own) == std::vector<std::string>{"", "x", "xx"},
           "texts_of");
    const auto share = finetune::strided_shard(ranks, 5);
    const at::Tensor all = at::tensor({1.5, -2.0, std::nan(""), 4.0, 1e300});
    const at::Tensor rows = all.index_select(0, at::tensor(share.rows, at::kLong));
    expect(at::allclose(finetune::all_gather_rows(share, rows), all, 0, 0, true), "gathered");
    const auto few = finetune::contiguous_shard(ranks, 2);  // one rank has none
    const at::Tensor mine = few.rows.empty() ? at::Tensor() : at::full({1, 3}, few.rows[0]);
    expect(finetune::all_gather_rows(few, mine).select(1, 2).equal(at::tensor({0.0f, 1.0f})),
           "gathered, few");
  });
}

TEST(ProcessGroup, AFaultOfOneIsSaidOnceAndEndsAll) {
  const std::string said = said_in_ranks({2, 2, 2}, {60, 40}, [](const ProcessGroup& ranks) {
    if (ranks.rank == 1) throw data::BadInput("model: not here");
    finetune::any_rank(ranks, false);
  });
  EXPECT_TRUE(found(said, "laurel: rank 1 of 3 (")) << said;
  EXPECT_TRUE(found(said, "): model: not here\n")) << said;
}

TEST(ProcessGroup, ARankThatLivesButDoesNothingIsLost) {
  const std::string said = said_in_ranks({1, 137, 1}, {60, 4}, [](const ProcessGroup& ranks) {
    const finetune::ActivityGuard working(ranks);
    if (ranks.rank == 1) std::this_thread::sleep_for(std::chrono::seconds(12));
    if (ranks.rank == 1) kill(getpid(), SIGKILL);
    finetune::any_rank(ranks, false);
  });
  EXPECT_TRUE(found(said, "laurel: rank 1 of 3 (")) << said;
  EXPECT_TRUE(found(said, "it lives, but has done nothing for ")) << said;
}

// Work that takes long is no loss while pieces of it get done, nor is waiting for others.
TEST(ProcessGroup, ARankThatWorksOnIsNotLost) {
  said_in_ranks({0, 0}, {60, 3}, [](const ProcessGroup& ranks) {
    const finetune::ActivityGuard working(ranks);
    for (int i = 0; i < 12 && ranks.rank == 1; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(500));
      finetune::heartbeat(ranks);
    }
    if (ranks.rank == 0) {
      const finetune::WaitGuard outside(ranks);
      std::this_thread::sleep_for(std::chrono::seconds(6));
    }
    finetune::any_rank(ranks, false);
  });
}

TEST(ProcessGroup, AValueThatDiffersNamesItsRank) {
  const std::string said = said_in_ranks({2, 2}, {60, 40}, [](const ProcessGroup& ranks) {
    finetune::check_equal_on_ranks(ranks, "checkpoint", ranks.rank == 0 ? "checkpoint-4" : "none",
                                   "share");
  });
  EXPECT_TRUE(found(said,
                    "laurel: checkpoint: expected that of rank 0, checkpoint-4, found none at rank "
                    "1 of 2; share\n"))
      << said;
}

}  // namespace
