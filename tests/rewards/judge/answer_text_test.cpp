#include "rewards/judge/answer_text.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "data/base/json.hpp"
#include "rewards/judge/answer_words.hpp"

namespace {

constexpr double kNone = -1;  // unusable

struct Said {
  std::string text;
  double meant = kNone;
  double lowest = 1;  // of the scale; the highest is 5
};

TEST(ScoreInWords, IsTheLastClearStatement) {
  const std::vector<Said> all = {
      {"4", 4},
      {" **3.5** ", 3.5},
      {"{\"score\": 2}", 2},
      {"{'score': 4.0, 'reason': 'two rings'}", 4},
      {"Looking closely, I would say **5**/5.", 5},
      {"Rating: 3 out of 5", 3},
      {"Score\xef\xbc\x9a 2", 2},
      {"I see 3 circles.", kNone},
      {"9", kNone},
      {"", kNone},
      {"Score (1-5): 4", 4},
      {"Score (0-5): 4", 4, 0},
      {"Score out of 5: 4", 4},
      {"<think>If it were blurred, score: 1. It is sharp.</think>\n\n5", 5},
      {"4\n\nThe circle is there, its colour is slightly off.", 4},
      {"4. The circle is there.", 4},
      {std::string(400, '1'), kNone},
      {"Score: " + std::string(400, '1'), kNone},
      {"Rubric: {\"score\": 0..5}. A score of 1 would be too harsh. {\"score\": 4, \"flaw\": "
       "\"None\"}",
       4, 0},
      {"{\"score\": \"4\", \"flaw\": \"None\"}", 4, 0},
      {"Score: 4/5", 4},
      {"Score: 4/10", kNone},
      {"8/10", kNone},
      {"Score: 8/10", kNone},
      {"Score (1-10): 4", kNone},
      {"On a scale of 1 to 10, I'd give it a 4.", kNone},
      {"On a scale of 1 to 5, I'd give it a 4.", 4},
      {"On a scale from 1 (not at all) to 5 (perfectly), the score is 4.", 4},
      {"Rating (1 to 5, 5 is best): 4", 4},
      {"Score (0 = worst, 5 = best): 4", 4},
      {"Score on a scale of 1 (bad) to 5 (good): 4", 4},
      {"\\boxed{4}", 4},
      {"The answer is $\\boxed{\\text{4}}$.", 4},
      {"**Score:** 4", 4},
      {"**Score: 4**", 4},
      {"```json\n{\"score\": 4}\n```", 4},
      {"```\n4\n```", 4},
      {"<answer>4</answer>", 4},
      {"The score is 4 out of 5.", 4},
      {"Score: 3 or 4", kNone},
      {"Score: 3-4", kNone},
      {"Score: -4", kNone},
      {"Score:-4", kNone},
      {"Score - 4", 4},
      {"Score: 4%", kNone},
      {"1. The circle is red.\n2. The square is missing.", kNone},
      {"4 circles are visible.", kNone},
      {"5 stars are in the sky", kNone},
      {"Alignment: the circle is red. Score: 2. But the shape is perfect.\n\nFinal score: 4", 4},
      {"Score: 2\nScore: 4", 4},
      {"<think>hmm, score: 2", kNone},
      {"If blurred, 1. </think>4", 4},
      {"[THINK]score: 1[/THINK]Score: 3", 3},
      {"\xe2\x97\x81think\xe2\x96\xb7score: 1\xe2\x97\x81/think\xe2\x96\xb7 3", 3},
      {"<Thinking>score 2</Thinking> **4**", 4},
      {"Four", 4},
      {"Score: four", 4},
      {"four out of five", 4},
      {"\xe8\xaf\x84\xe5\x88\x86\xef\xbc\x9a"
       "4\xe5\x88\x86",
       4},
      {"I would give this image a 4.", 4},
      {"I give 3 reasons.", kNone},
      {"4 / 5", 4},
      {"4/5 - the colour is off", 4},
      {"4, because the circle is there", 4},
      {"3 out of 4 circles are there. Score: 2", 2},
      {"The image shows 2 of the 3 objects", kNone},
      {"Score: 4.5/5", 4.5},
      {"Score=4", 4},
      {"score -> 4", 4},
      {"Score: 4,5", kNone},
      {"[4]", 4},
      {"(4)", 4},
      {"Score [4]", 4},
      {"Overall: 4", 4},
      {"Score: **4** (good)", 4},
      {"It deserves a 4 out of 5 because", 4},
      {"1\n2\n3\n4\n5", kNone},
      {"1-5", kNone},
      {"0-5", kNone, 0},
      {"Rate: 1 = bad, 5 = perfect. \n\n4", 4},
      {"{\"scores\": {\"alignment\": 4}}", 4},
      {"{\"alignment\": 4, \"quality\": 2}", kNone},
      {"{\"score\": 8, \"max_score\": 10}", kNone},
      {"{\"score\": 7}", kNone, 0},
      {"{\"rating\": 4, \"reason\": \"score of 2 at most }\"}", 4},
      {"{\"reasoning\": \"fine\", \"score\": \"4/5\"}", 4},
      {"{\"score\": null}", kNone},
      {"it is fine", kNone},
      {"Here: {\"score\": 3.5, \"flaw\": \"the sky changed\"}", 3.5, 0},
      {"0", 0, 0},
      {"0", kNone},
      {"Reasoning: The circle is there.\nScore: 4\nThe colour is off by a little, 2 pixels.", 4},
      {"The score for this image is 4.", 4},
      {"I'd rate it 4/5", 4},
      {"My rating: 4 stars", 4},
      {"Rating: \xe2\x98\x85\xe2\x98\x85\xe2\x98\x85\xe2\x98\x85", kNone},
      {"Score: 4e0", kNone},
      {"4\nScore: 2", kNone},
      {"score: 0\n\n", 0, 0},
      {"I'm between 3 and 4", kNone},
      {"Score: between 3 and 4", kNone},
      {"Score (out of 5): 4", 4},
      {"Score (/5): 4", 4},
      {"Score/5: 4", 4},
      {"Score [1-5]: 4", 4},
      {"Score, 1 to 5: 4", 4},
      {"Score from 1 to 5: 4", 4},
      {"Score (from 1 to 5) = 4", 4},
      {"Answer (1-5): 4", 4},
      {"Score (1\xe2\x80\x93"
       "5): 4",
       4},
      {"Score (1 - 5): 4", 4},
      {"Score (scale 1-5): 4", 4},
      {"Score on a 1-5 scale: 4", 4},
      {"Score on a 5-point scale: 4", 4},
      {"Score (5-point scale): 4", 4},
      {"Score (max 5): 4", 4},
      {"On a scale of 1-5: 4", 4},
      {"On a 1-5 scale: 4", 4},
      {"Using the 1-5 scale, my score is 3", 3},
      {"Score (1 lowest, 5 highest): 4", 4},
      {"Score (5 = best): 4", 4},
      {"I rate this image a 4 on a scale of 1 to 5.", 4},
      {"4 on a scale of 1 to 5", 4},
      {"4 (on a scale of 1 to 5)", 4},
      {"Scale 1-5: 4", 4},
      {"Rating on a scale from 0 to 5: 3", 3, 0},
      {"**Final Score: 4/5**\n\nThe image...", 4},
  };
  for (const Said& one : all)
    EXPECT_EQ(rewards::score_in_words(one.text, one.lowest, 5).value_or(kNone), one.meant)
        << one.text.substr(0, 200);
}

TEST(PreferenceInWords, IsTheLastClearStatement) {
  const std::vector<Said> all = {
      {"A", 1},
      {"**B**", 0},
      {"C", 0.5},
      {"The better image is B", 0},
      {"{\"winner\": \"A\"}", 1},
      {"It is a tie.", 0.5},
      {"I prefer the second one", 0},
      {"Both are pictures", kNone},
      {"Image A is blurred at its edges. Image B is sharp. Answer: B", 0},
      {"Image A is worse than image B.", 0},
      {"A is worse than B", 0},
      {"B is worse than A", 1},
      {"A is better than B", 1},
      {"B is slightly better than A.", 0},
      {"A is not better than B", kNone},
      {"Neither is better.", 0.5},
      {"Both are equally good.", 0.5},
      {"Both show the same circle.", kNone},
      {"\\boxed{B}", 0},
      {"[[A]]", 1},
      {"[[A>B]]", 1},
      {"[[B>>A]]", 0},
      {"A > B", 1},
      {"A < B", 0},
      {"<think>Answer: A</think>B", 0},
      {"<think>Answer: A", kNone},
      {"B. The second is sharper.", 0},
      {"A: blurred. B: sharp.", kNone},
      {"A: blurred\nB: sharp", kNone},
      {"A circle is in both", kNone},
      {"Answer: A or B", kNone},
      {"Answer: A, B, or C?", kNone},
      {"The worse image is A", 0},
      {"The winner is image B because it is sharp", 0},
      {"If A is better, say A", kNone},
      {"I do not think A is better", kNone},
      {"The first image is better.", 1},
      {"The second is worse.", 1},
      {"Image 2 is better", 0},
      {"B wins", 0},
      {"Answer: tie", 0.5},
      {"Answer: A is worse than B", 0},
      {"answer: b", 0},
      {"answer: a circle", kNone},
      {"A is better in colour. Final answer: B", 0},
      {"Final answer: **B**", 0},
      {"B\n\nImage A is blurred.", 0},
      {"A\nB is better", kNone},
      {"Verdict: both are equally good", 0.5},
      {"<answer>B</answer>", 0},
      {"Image B", 0},
      {"Answer: Image B is better.", 0},
      {"The answer is B.", 0},
      {"My choice: the second image", 0},
      {"Winner: neither", 0.5},
      {"A man with a tie", kNone},
      {"I would choose B over A", 0},
      {"A is better than B in colour, but B is better than A in shape", kNone},
      {"I think that image B is better than image A.", 0},
      {"Image A is inferior to Image B", 0},
      {"Between A and B, B is better", 0},
      {"Answer - B", 0},
      {"Answer: (B)", 0},
      {"Answer: \"B\"", 0},
      {"", kNone},
      {"Better: A", 1},
      {"Which is better: A or B? B", kNone},
      {"It's not a tie", kNone},
      {"Image B is better than Image A", 0},
      {"Option A", 1},
      {"Image A is preferred", 1},
      {"{\"better\": \"B\", \"why\": \"sharp\"}", 0},
      {"I'd go with B.", 0},
      {"{'winner': 'B'}", 0},
      {"Image B is clearly the better one.", 0},
      {"The better one is the first.", 1},
      {"A is the worse of the two.", 0},
      {"Between the two, image A is superior.", 1},
  };
  for (const Said& one : all)
    EXPECT_EQ(rewards::preference_in_words(one.text).value_or(kNone), one.meant) << one.text;
}

TEST(AnswerText, LongAnswersAreUnusableAndQuicklyRead) {
  const std::string much(rewards::kLongestAnswer + 1, ' ');
  EXPECT_FALSE(rewards::score_in_words(much + "4", 1, 5));
  EXPECT_FALSE(rewards::preference_in_words(much + "A"));
  for (const std::string piece :
       {"{", "{\"a\":", "score ", "<think>", "</think>", "(1 ", "A is ", "4\n"}) {
    std::string text;
    while (text.size() + piece.size() <= rewards::kLongestAnswer) text += piece;
    EXPECT_FALSE(rewards::preference_in_words(text)) << piece;
    rewards::score_in_words(text, 1, 5);  // ends
  }
}

TEST(AnswerText, ThoughtsAreDropped) {
  EXPECT_EQ(rewards::without_thoughts("a<think>b<think>c</think>d</think>e"), "ae");
  EXPECT_EQ(rewards::without_thoughts("b</THINK>e"), "e");
  EXPECT_EQ(rewards::without_thoughts("a<Reasoning>b"), "a");
  EXPECT_EQ(
      rewards::without_thoughts("<|channel|>analysis<|message|>score: 1<|end|><|start|>assistant"
                                "<|channel|>final<|message|>4"),
      "4");
  EXPECT_EQ(rewards::without_thoughts("1 < 2"), "1 < 2");
}

TEST(AnswerText, WordsAreWithoutMarks) {
  const auto words = rewards::answer_words("**It's** \"-4\" 3.5, 4th\n\xef\xbc\x95");
  std::string all;
  for (const auto& word : words) all += word.text + "|";
  EXPECT_EQ(all, "Its|-|4|3.5|,|4th|\n|5|");
  EXPECT_TRUE(words[2].negative);
  EXPECT_EQ(words[3].number, 3.5);
  EXPECT_EQ(words[5].kind, rewards::WordKind::kWord);
}

TEST(ChatText, IsJoinedOfItsParts) {
  const auto text = [](const std::string& message) {
    return rewards::chat_text(data::parse_json("{\"choices\": [{\"message\": " + message + "}]}"))
        .value_or("none");
  };
  EXPECT_EQ(text(R"({"content": "4"})"), "4");
  EXPECT_EQ(text(R"({"content": [{"type": "text", "text": "4"}]})"), "4");
  EXPECT_EQ(
      text(R"({"content": [{"type": "thinking", "text": "1"}, {"type": "text", "text": "Score: 4"},
                     {"type": "text", "text": "good"}], "reasoning_content": "score: 1"})"),
      "Score: 4\ngood");
  EXPECT_EQ(text(R"({"content": null, "reasoning_content": "score: 1"})"), "none");
  EXPECT_EQ(text(R"({"content": []})"), "none");
  EXPECT_EQ(text(R"({"content": 4})"), "none");
}

}  // namespace
