#include "rewards/judge/judgements.hpp"

#include <gtest/gtest.h>

#include "data/base/files.hpp"
#include "rewards/judge/client.hpp"
#include "tests/support/judge_replies.hpp"
#include "tests/support/refusal.hpp"

namespace {

using judge_replies::fresh_file;
using judge_replies::reply_in_words;
using judge_replies::reply_of;

TEST(JudgementLine, IsReadBack) {
  rewards::JudgedItem item{.id = "x",
                           .prompt = "a cat",
                           .judge = "m",
                           .paths = {"a.png"},
                           .digests = {"00"},
                           .axes = {}};
  const auto answer = [](const std::string& body, bool pair) {
    return rewards::judge_answer(body, pair);
  };
  item.axes.push_back({"alignment", answer(reply_of({{"4", 0.6}, {"5", 0.4}}), false)});
  item.axes.push_back({"quality", answer("", false)});
  const auto file = fresh_file("lines.jsonl");
  data::append_line(file, rewards::judgement_line(item));
  item.axes = {{"overall", answer(reply_in_words("A"), true)}};
  item.paths = {"a.png", "b.png"};
  item.digests = {"00", "11"};
  item.a_first = false;  // so A is b
  data::append_line(file, rewards::judgement_line(item));
  item.axes = {{"overall", answer("", true)}};
  data::append_line(file, rewards::judgement_line(item));
  const auto read = rewards::read_judgements(file);
  ASSERT_EQ(read.points.size(), 1u);
  EXPECT_EQ(read.points[0].axes.size(), 1u);  // the other is masked
  EXPECT_NEAR(read.points[0].axes.at("alignment")[3], 0.6, 1e-9);
  EXPECT_EQ(read.points[0].image, file.parent_path() / "a.png");
  ASSERT_EQ(read.pairs.size(), 1u);
  EXPECT_EQ(read.pairs[0].axes.at("overall"), 0);
  EXPECT_FALSE(read.pairs[0].a_first);
  EXPECT_EQ(read.unusable, 1);
}

TEST(Judgements, ValuesOfAnotherKindOrBeyondADoubleAreNamedOrPassedOver) {
  const auto line = [](const std::string& axis, const std::string& more = "") {
    return R"({"kind": "point", "prompt": "p", "image": {"path": "a.png"}, "axes": {"x": )" + axis +
           "}" + more + "}";
  };
  const auto file = fresh_file("odd.jsonl");
  const auto said = [&](const std::string& text) {
    data::write_file(file, text);
    return refusal([&] { rewards::read_judgements(file); });
  };
  EXPECT_NE(said(line(R"({"probs": [1e308, 1e308, 0, 0, 0]})")).find("expected 5 probabilities"),
            std::string::npos);
  EXPECT_NE(said(line(R"({"score": 0, "lo": -1e308, "hi": 1e308})")).find("expected a value in"),
            std::string::npos);
  data::write_file(file,
                   line(R"({"score": 1, "lo": 1, "hi": 5, "sign": "x"})", R"(, "ok": "yes")"));
  EXPECT_EQ(rewards::read_judgements(file).points.size(), 1u);
}

}  // namespace
