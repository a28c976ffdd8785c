#include "rewards/judge/question.hpp"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

#include "data/base/base64.hpp"
#include "data/base/error.hpp"
#include "data/base/json.hpp"
#include "data/storage/sha256.hpp"
#include "data/unicode/utf8.hpp"
#include "rewards/judge/answer_text.hpp"

using nlohmann::json;
using nlohmann::ordered_json;

namespace rewards {

const char* const kJudgeTemplate = "laurel-1";

namespace {

constexpr double kLeastMass = 0.5;  // on the symbols, for their probabilities to be believed
constexpr double kCertain = 1.01;   // no probability is larger, but for rounding

const std::vector<JudgeAxis>& known_axes() {
  static const std::vector<JudgeAxis> axes = {
      {"alignment", "How much of what the prompt asks for does the image show?"},
      {"quality", "How clean, sharp and well made is the image, whatever the prompt?"},
      {"overall", "How good is the image for the prompt, all in all?"}};
  return axes;
}

std::vector<std::string> symbols(bool pair) {
  return pair ? std::vector<std::string>{"A", "B", "C"}
              : std::vector<std::string>{"1", "2", "3", "4", "5"};
}

// A token without the white space, quotes and marks of tokenizers around it.
std::string stripped(std::string token) {
  for (const std::string mark :
       {"\xe2\x96\x81", "\xc4\xa0"}) {  // SentencePiece's and GPT-2's space
    if (token.starts_with(mark)) token.erase(0, mark.size());
  }
  const auto plain = [](char c) {
    return !std::isspace(static_cast<unsigned char>(c)) && c != '"' && c != '\'' && c != '*';
  };
  const auto first = std::find_if(token.begin(), token.end(), plain);
  const auto last = std::find_if(token.rbegin(), token.rend(), plain).base();
  return first < last ? std::string(first, last) : "";
}

// [symbols] probabilities, not normalised; empty without log-probabilities.
std::vector<double> masses(const json& choice, bool pair) {
  const auto wanted = symbols(pair);
  const json content = choice.value("logprobs", json::object()).is_object()
                           ? choice.value("logprobs", json::object()).value("content", json())
                           : json();
  if (!content.is_array() || content.empty() || !content[0].is_object()) return {};
  const json top = content[0].value("top_logprobs", json());
  if (!top.is_array() || top.empty()) return {};
  std::vector<double> mass(wanted.size());
  for (const json& entry : top) {
    if (!entry.is_object() || !entry.value("token", json()).is_string() ||
        !entry.value("logprob", json()).is_number())
      continue;
    const auto found = std::find(wanted.begin(), wanted.end(), stripped(entry["token"]));
    const double probability = std::exp(entry["logprob"].get<double>());
    if (found != wanted.end() && probability <= kCertain)
      mass[static_cast<size_t>(found - wanted.begin())] += probability;
  }
  return mass;
}

void use_masses(const std::vector<double>& mass, bool pair, JudgeAnswer& answer) {
  const double sum = std::accumulate(mass.begin(), mass.end(), 0.0);
  answer.mass = std::min(1.0, sum);
  if (pair) {
    answer.p_first = (mass[0] + mass[2] / 2) / sum;
    return;
  }
  Bins bins;
  for (size_t bin = 0; bin < kBins; ++bin) bins[bin] = mass[bin] / sum;
  answer.bins = bins;
  answer.score = 1 + 4 * mean_of(bins);
}

// Whether log-probabilities speak of the answer: the text is a symbol, or says in words what the
// likeliest symbol says. They do not where the first token begins a thought, "10/10" or "A is
// worse".
bool speaks_of(const std::vector<double>& mass, const std::string& text, bool pair) {
  const auto wanted = symbols(pair);
  const std::string bare = stripped(text);
  if (bare.empty() || std::find(wanted.begin(), wanted.end(), bare) != wanted.end()) return true;
  const auto likeliest = std::max_element(mass.begin(), mass.end()) - mass.begin();
  constexpr double kOfPair[] = {1, 0, 0.5};
  const double said = pair ? kOfPair[likeliest] : 1 + static_cast<double>(likeliest);
  const auto in_words = pair ? preference_in_words(text) : score_in_words(text, 1, kBins);
  return in_words && *in_words == said;
}

ordered_json axis_json(const JudgedAxis& axis, bool pair, bool a_first) {
  const JudgeAnswer& answer = axis.answer;
  ordered_json json = ordered_json::object();
  if (pair) {
    json["p_a"] = a_first ? *answer.p_first : 1 - *answer.p_first;
  } else {
    json = {{"score", *answer.score}, {"lo", 1}, {"hi", 5}};
    if (answer.bins) json["probs"] = *answer.bins;
  }
  if (answer.mass > 0) json["mass"] = answer.mass;
  return json;
}

// What the constraint's field holds.
ordered_json constraint_value(JudgeConstraint constraint, bool pair) {
  const auto wanted = symbols(pair);
  if (constraint == JudgeConstraint::kStructuredOutputs) return {{"choice", wanted}};
  if (constraint == JudgeConstraint::kGuidedChoice) return wanted;
  const ordered_json schema{{"type", "string"}, {"enum", wanted}};
  return {{"type", "json_schema"},  // both places that servers look for the schema in
          {"schema", schema},
          {"json_schema", {{"name", "answer"}, {"strict", true}, {"schema", schema}}}};
}

}  // namespace

JudgeAxis judge_axis(const std::string& text) {
  const size_t equals = text.find('=');
  if (equals != std::string::npos && equals > 0 && equals + 1 < text.size())
    return {text.substr(0, equals), text.substr(equals + 1)};
  std::vector<std::string> names;
  for (const JudgeAxis& axis : known_axes()) {
    if (axis.name == text) return axis;
    names.push_back(axis.name);
  }
  const std::string near = data::nearest(text, names);
  throw data::BadInput("--axes: expected alignment, quality, overall or name=question, found '" +
                       text + "'" + (near.empty() ? "" : "; did you mean " + near + "?"));
}

std::string judge_text(const JudgeQuestion& question) {
  const std::string asked = "Prompt: \"" + question.prompt + "\"\n\nQuestion: ";
  if (question.images.size() == 1)
    return asked + question.axis.question +
           "\nAnswer with one digit, from 1 (not at all) to 5 (perfectly).";
  return asked + "The first image is A, the second is B. Which is better? " +
         question.axis.question + "\nAnswer with one letter: A, B, or C if they are equally good.";
}

std::string constraint_field(JudgeConstraint constraint) {
  static const char* const names[] = {"structured_outputs", "guided_choice", "response_format", ""};
  return names[static_cast<int>(constraint)];
}

ordered_json judge_request(const JudgeQuestion& question, const JudgeSampling& sampling) {
  ordered_json content = ordered_json::array();
  for (const std::string& image : question.images) {
    content.push_back({{"type", "image_url"},
                       {"image_url", {{"url", "data:image/png;base64," + data::base64(image)}}}});
  }
  content.push_back({{"type", "text"}, {"text", judge_text(question)}});
  ordered_json body{
      {"model", sampling.model}, {"messages", {{{"role", "user"}, {"content", content}}}},
      {"temperature", 0},        {"top_p", 1},
      {"seed", sampling.seed},   {"logprobs", true},
      {"top_logprobs", 20},      {"stream", false}};
  // Without a constraint a talkative model needs room to come to the point.
  body["max_tokens"] = sampling.constraint == JudgeConstraint::kNone             ? 64
                       : sampling.constraint == JudgeConstraint::kResponseFormat ? 8
                                                                                 : 1;
  if (sampling.constraint != JudgeConstraint::kNone)
    body[constraint_field(sampling.constraint)] =
        constraint_value(sampling.constraint, question.images.size() == 2);
  return body;
}

std::string judge_body(const JudgeQuestion& question, const JudgeSampling& sampling) {
  return data::to_text(judge_request(question, sampling));
}

std::string judge_key(const JudgeQuestion& question, const JudgeSampling& sampling) {
  std::string all = sampling.model + '\n' + kJudgeTemplate + '\n' + std::to_string(sampling.seed) +
                    '\n' + question.axis.name + '\n' + judge_text(question);
  for (const std::string& image : question.images) all += '\n' + data::sha256(image);
  return data::sha256(all);
}

JudgeAnswer judge_answer(const std::string& body, bool pair) {
  JudgeAnswer answer;
  const json reply = data::parse_json(body);
  const json choices = reply.is_object() ? reply.value("choices", json()) : json();
  if (!choices.is_array() || choices.empty() || !choices[0].is_object()) {
    answer.problem = reply.is_discarded() ? "not JSON" : "no choices";
    return answer;
  }
  const auto text = chat_text(reply);
  answer.text = text.value_or("");
  const auto mass = masses(choices[0], pair);
  const double sum = std::accumulate(mass.begin(), mass.end(), 0.0);
  if (sum >= kLeastMass && speaks_of(mass, answer.text, pair)) {
    use_masses(mass, pair, answer);
    return answer;
  }
  if (!text) {
    answer.problem = "no text";
    return answer;
  }
  (pair ? answer.p_first : answer.score) =
      pair ? preference_in_words(*text) : score_in_words(*text, 1, kBins);
  if (!answer.p_first && !answer.score)
    answer.problem = "no answer in '" + data::shortened(*text, 60) + "'";
  return answer;
}

bool is_usable(const JudgedItem& item) {
  return std::any_of(item.axes.begin(), item.axes.end(),
                     [](const JudgedAxis& axis) { return axis.answer.problem.empty(); });
}

std::string judgement_line(const JudgedItem& item) {
  const bool pair = item.paths.size() == 2;
  ordered_json line{{"v", 1},
                    {"kind", pair ? "pair" : "point"},
                    {"id", item.id},
                    {"prompt_id", data::sha256(item.prompt).substr(0, 12)},
                    {"prompt", item.prompt}};
  const auto image = [&](size_t i) {
    return ordered_json{{"path", item.paths[i]}, {"sha256", item.digests[i]}};
  };
  if (pair) {
    line["a"] = image(0);
    line["b"] = image(1);
    line["order"] = item.a_first ? "ab" : "ba";
  } else {
    line["image"] = image(0);
  }
  line["judge"] = item.judge;
  line["template"] = kJudgeTemplate;
  ordered_json axes = ordered_json::object(), raw = ordered_json::object();
  for (const JudgedAxis& axis : item.axes) {
    axes[axis.name] =
        axis.answer.problem.empty() ? axis_json(axis, pair, item.a_first) : ordered_json();
    raw[axis.name] = axis.answer.problem.empty() ? axis.answer.text : axis.answer.problem;
  }
  line["axes"] = axes;
  line["ok"] = is_usable(item);
  line["raw"] = raw;
  return data::to_text(line);
}

}  // namespace rewards
