#include "tools/studio/voting/proof.hpp"

#include <gtest/gtest.h>

#include <set>

#include "data/base/files.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/refusal.hpp"
#include "tests/support/studio_pictures.hpp"

namespace {

namespace fs = std::filesystem;

// A run with five pictures of the base, of step 2 and of step 10; the last two are unseen prompts.
struct ProofTest : testing::Test {
  const fs::path folder = tests::fresh_folder();
  studio::Store store = studio::open_store(folder / "taste.laurel");
  int64_t ada = studio::person_named(store.database, "Ada").id;

  void SetUp() override {
    int mark = 0;
    for (const char* set : {"base", "step-2", "step-10"}) {
      const fs::path place = folder / "run" / "samples" / set;
      fs::create_directories(place);
      std::string lines;
      for (int i = 0; i < 5; ++i, ++mark) {
        const std::string name = std::to_string(i) + ".png";
        tests::draw_picture(place / name, 0.1 * i, mark);
        lines += R"({"file":")" + name + R"(","prompt":"prompt )" + std::to_string(i) +
                 R"(","seed":1,"split":")" + (i < 3 ? "seen" : "unseen") + R"(","rewards":{}})" +
                 "\n";
      }
      data::write_file(place / "scores.jsonl", lines);
    }
  }
};

TEST_F(ProofTest, ComparesTheBaseWithTheLastStepOnUnseenPrompts) {
  studio::Proof proof(store, folder / "run", 1);
  EXPECT_EQ(proof.step, "step-10");
  ASSERT_EQ(proof.pairs.size(), 2u);
  for (const auto& [base, tuned] : proof.pairs) {
    EXPECT_EQ(proof.pool.images[base].set, "base");
    EXPECT_EQ(proof.pool.images[tuned].set, "step-10");
    EXPECT_EQ(proof.pool.images[base].prompt, proof.pool.images[tuned].prompt);
  }
}

TEST_F(ProofTest, ComparesTheStepThatWasChosen) {
  studio::Proof proof(store, folder / "run", 1, 2);
  EXPECT_EQ(proof.step, "step-2");
  EXPECT_EQ(proof.pool.images[proof.pairs[0].second].set, "step-2");
  EXPECT_NE(refusal([&] { studio::Proof(store, folder / "run", 1, 3); }).find("step 3: has no"),
            std::string::npos);
}

TEST_F(ProofTest, CountsAnswersForTheTrainedOne) {
  studio::Proof proof(store, folder / "run", 1);
  std::set<int64_t> seen;
  for (int i = 0; i < 2; ++i) {
    const auto pair = proof.ballot.queue(ada).front();
    EXPECT_EQ(pair.purpose, studio::kProof);
    const bool left = proof.pool.images[proof.pool.number_of.at(pair.left)].set == "step-10";
    EXPECT_TRUE(proof.ballot.vote(ada, pair.id, left ? "left" : "right", 5));
  }
  EXPECT_TRUE(proof.ballot.queue(ada).empty());
  auto result = studio::result_of(proof, store.database, ada);
  EXPECT_EQ(result.tuned, 2);
  EXPECT_EQ(result.base, 0);
  EXPECT_TRUE(proof.ballot.undo(ada));
  EXPECT_TRUE(proof.ballot.vote(ada, proof.ballot.queue(ada).front().id, "tie", 5));
  result = studio::result_of(proof, store.database, 0);
  EXPECT_EQ(result.tuned, 1);
  EXPECT_EQ(result.even, 1);
  EXPECT_EQ(result.share.value, 0.75);
  studio::Proof again(store, folder / "run", 9);  // a new start
  EXPECT_TRUE(again.ballot.queue(ada).empty());
  EXPECT_EQ(studio::result_of(again, store.database, ada).tuned, 1);
}

TEST_F(ProofTest, ARunWithoutALaterStepIsRefused) {
  fs::remove_all(folder / "run" / "samples" / "step-2");
  fs::remove_all(folder / "run" / "samples" / "step-10");
  EXPECT_NE(
      refusal([&] { studio::Proof(store, folder / "run", 1); }).find("has not been evaluated"),
      std::string::npos);
}

TEST(ProofVerdict, SaysWhoIsPreferredOrHowManyMoreDecide) {
  EXPECT_EQ(studio::proof_verdict(0, 0, 0), "No answer yet.");
  EXPECT_TRUE(studio::proof_verdict(18, 2, 0).starts_with("The trained model is preferred: 90 %"));
  EXPECT_TRUE(studio::proof_verdict(2, 18, 0).starts_with("The base is preferred"));
  // 12 of 20: 1.96^2 / 4 / 0.1^2 = 96.04 answers decide.
  const std::string near = studio::proof_verdict(12, 8, 0);
  EXPECT_NE(near.find("Not yet decided"), std::string::npos);
  EXPECT_NE(near.find("about 77 answers more"), std::string::npos) << near;
  EXPECT_EQ(studio::proof_verdict(5, 5, 4).find("more decide"), std::string::npos);
}

}  // namespace
