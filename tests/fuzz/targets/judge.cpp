// What judges say: answers in words, replies of the chat API, refusals, and files of judgements.

#include <cmath>
#include <nlohmann/json.hpp>

#include "data/base/json.hpp"
#include "rewards/judge/answer_text.hpp"
#include "rewards/judge/answer_words.hpp"
#include "rewards/judge/chat_dialect.hpp"
#include "rewards/judge/edit_judge.hpp"
#include "rewards/judge/question.hpp"
#include "tests/fuzz/support.hpp"
#include "tests/fuzz/target.hpp"

namespace fuzz {
namespace {

bool in_range(const std::optional<double>& value, double low, double high) {
  return !value || (*value >= low && *value <= high);
}

void answer(std::string_view input) {
  const std::string text(input);
  require(in_range(rewards::score_in_words(text, 1, 5), 1, 5), "a score is on its scale");
  require(in_range(rewards::score_in_words(text, 0, 100), 0, 100), "a score is on its scale");
  require(in_range(rewards::preference_in_words(text), 0, 1), "a preference is a probability");
  std::string rest;
  rewards::objects_in(text, &rest);
  require(rest.size() <= text.size(), "what follows the objects is a part of the answer");
  rewards::answer_words(rewards::without_thoughts(rewards::marked_answer(text)));
}

double sum_of(const rewards::Bins& bins) {
  double sum = 0;
  for (const double bin : bins) sum += bin;
  return sum;
}

void check_judgement(const rewards::JudgeAnswer& said, bool pair) {
  const bool usable = said.bins || said.score || said.p_first;
  require(usable == said.problem.empty(), "an answer is usable or has a problem");
  require(!said.bins || std::abs(sum_of(*said.bins) - 1) < 1e-6, "probabilities sum to 1");
  require(in_range(said.score, 1, 5), "a score is on its scale");
  require(in_range(said.p_first, 0, 1), "a preference is a probability");
  rewards::JudgedItem item;
  item.paths = item.digests = std::vector<std::string>(pair ? 2 : 1, "x");
  item.axes = {{.name = "quality", .answer = said}};
  rewards::judgement_line(item);
}

void chat_reply(std::string_view input) {
  const std::string body(input);
  rewards::chat_text(data::parse_json(body));
  check_judgement(rewards::judge_answer(body, false), false);
  check_judgement(rewards::judge_answer(body, true), true);
  const auto verdict = rewards::edit_judge_reply(body);
  require(!verdict.problem.empty() || (verdict.score >= 0 && verdict.score <= 5),
          "a verdict is on its scale");
}

// `body`, refused until nothing changes any more.
void chat_refusal(std::string_view input) {
  static const auto body = rewards::judge_request(
      {.axis = rewards::judge_axis("quality"), .prompt = "x", .images = {"pixels"}},
      {.model = "m"});
  const data::HttpReply refusal{
      .status = 400, .body = std::string(input), .headers = {}, .error = {}};
  rewards::ChatDialect dialect;
  rewards::make_room(dialect, refusal.body);
  rewards::refuses_question(refusal);
  int changes = 0;
  for (auto asked = body; !rewards::adapt(dialect, refusal, asked).empty();
       asked = rewards::in_dialect(dialect, body))
    require(++changes < 100, "a refusal changes the request a few times at most");
}

void judgements(std::string_view input) {
  const auto all = rewards::read_judgements(file_of("judged.jsonl", input));
  for (const auto& point : all.points) {
    for (const auto& [axis, bins] : point.axes)
      require(std::abs(sum_of(bins) - 1) < 1e-6, "probabilities sum to 1");
  }
  rewards::merge_orders(all.pairs);
}

}  // namespace

Targets judge_targets() {
  return {
      {.name = "judge_answer",
       .run = answer,
       .seeds = {"<think>hm</think>The image is fine. **Score: 4/5**", "{\"score\": 3.5}",
                 "\\boxed{4}", "On a scale of 1 to 5 I give a 4.", "Answer: B", "[[A]]",
                 "A is better than B", "{\"winner\": \"tie\"}", "4\n\nBecause it is good."},
       .words = {"<think>", "</think>", "<answer>", "</answer>", "\\boxed{", "final score: ", "/5",
                 "(1-5)", "out of 5", "[[B]]", " is worse than ", "I prefer the second", "tie",
                 "\xEF\xBC\x94", "\xE2\x80\x93"}},
      {.name = "chat_reply",
       .run = chat_reply,
       .seeds =
           {R"({"choices":[{"message":{"content":"4"},"logprobs":{"content":[{"token":"4",)"
            R"("top_logprobs":[{"token":"4","logprob":-0.1},{"token":" 5","logprob":-3}]}]}}]})",
            R"({"choices":[{"message":{"content":[{"type":"text","text":"A"}]},)"
            R"("finish_reason":"length"}],"usage":{"total_tokens":9}})",
            R"({"choices":[{"message":{"content":"{\"score\": 4, \"flaw\": \"None\"}"}}]})",
            R"({"error":{"message":"x","code":500}})"},
       .words = {"\"logprob\":", "\"top_logprobs\":[", "reasoning_content", "refusal", "-1e308",
                 "\"content\":null", "9999"}},
      {.name = "chat_refusal",
       .run = chat_refusal,
       .seeds = {R"({"error":{"message":"Unknown parameter: 'seed'","param":"seed"}})",
                 R"({"error":{"message":"top_logprobs must be at most 5"}})",
                 "Unsupported parameter: max_tokens. Use max_completion_tokens instead.",
                 "content_filter"},
       .words = {"logprobs", "top_logprobs", "max_tokens", "max_completion_tokens", "seed",
                 "unsupported", "at most ", "context length", "temperature", "response_format"}},
      {.name = "judgements",
       .run = judgements,
       .seeds = {R"({"v":1,"ok":true,"kind":"point","prompt":"x","image":{"path":"a.png"},"axes":)"
                 R"({"quality":{"score":4,"lo":1,"hi":5,"std":0.5},"x":{"probs":[0,0,1,0,0]}}})"
                 "\n"
                 R"({"kind":"pair","prompt":"x","a":{"path":"1"},"b":{"path":"2"},"order":"ba",)"
                 R"("axes":{"quality":{"p_a":0.7},"y":{"win":"tie"}}})"
                 "\n"},
       .words = {"\"ok\":false", "\"sign\":-1", "\"lo\":", "\"hi\":", "\"std\":", "1e308",
                 "5e-324"}},
  };
}

}  // namespace fuzz
