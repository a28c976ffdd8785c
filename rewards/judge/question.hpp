#pragma once

// Asking a vision-language model about images, over the chat API that OpenAI's, vLLM's and
// llama.cpp's servers share: what is asked, and how the answer is read.

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "rewards/judge/judgements.hpp"

namespace rewards {

// An axis and its question; the judge answers for one image, or says which of two is better.
struct JudgeAxis {
  std::string name;      // "alignment"
  std::string question;  // "How much of what the prompt asks for does the image show?"
};
// "alignment", "quality" or "overall", or "name=question". Throws BadInput for anything else.
JudgeAxis judge_axis(const std::string& text);

struct JudgeQuestion {
  JudgeAxis axis;
  std::string prompt;
  std::vector<std::string> images;  // PNG files' bytes: one, or two in the order of asking
};

// How the answer is held to one symbol: vLLM from 0.12, vLLM before, llama.cpp and OpenAI, or not.
enum class JudgeConstraint { kStructuredOutputs, kGuidedChoice, kResponseFormat, kNone };

struct JudgeSampling {
  std::string model;
  int64_t seed = 0;
  JudgeConstraint constraint = JudgeConstraint::kStructuredOutputs;
};

// The version of the wording below: a part of every cache key.
extern const char* const kJudgeTemplate;
std::string judge_text(const JudgeQuestion& question);
// The field of the request that holds the answer so; "" for kNone.
std::string constraint_field(JudgeConstraint constraint);
// The body of POST /v1/chat/completions: the images first, one token wanted with the 20 likeliest
// and their log-probabilities, temperature 0.
nlohmann::ordered_json judge_request(const JudgeQuestion& question, const JudgeSampling& sampling);
std::string judge_body(const JudgeQuestion& question, const JudgeSampling& sampling);
// SHA-256 of all that decides the answer; not of how the answer is held to one symbol.
std::string judge_key(const JudgeQuestion& question, const JudgeSampling& sampling);

// An answer. Of an image: the probabilities of 1 to 5, or the number in words alone. Of a pair: the
// probability that the first is better, a tie counting a half.
struct JudgeAnswer {
  std::optional<Bins> bins;
  std::optional<double> score;    // 1 to 5
  std::optional<double> p_first;  // of a pair
  double mass = 0;        // probability on the symbols that were asked for; 0: read from the text
  std::string text{};     // what it said
  std::string problem{};  // why it is unusable; empty: usable
};
// Reads a reply's body. Log-probabilities first: tokens that are a symbol but for white space and
// quotes count for it. Below half of the mass, without them, or where the text says something else,
// the text (rewards/judge/answer_text.hpp). Never throws.
JudgeAnswer judge_answer(const std::string& body, bool pair);

// One line of the judgements' file (rewards/judge/judgements.hpp).
struct JudgedAxis {
  std::string name;
  JudgeAnswer answer;
};
struct JudgedItem {
  std::string id, prompt, judge;
  std::vector<std::string> paths, digests;  // of one image, or of a and b
  bool a_first = true;                      // of a pair
  std::vector<JudgedAxis> axes;
};
bool is_usable(const JudgedItem& item);  // an axis of it has an answer
std::string judgement_line(const JudgedItem& item);

}  // namespace rewards
