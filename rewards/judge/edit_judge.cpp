#include "rewards/judge/edit_judge.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <regex>
#include <thread>

#include "data/base/base64.hpp"
#include "data/base/error.hpp"
#include "data/base/json.hpp"
#include "data/system/http.hpp"
#include "data/system/line_subprocess.hpp"

using data::BadInput;
using nlohmann::json;
using nlohmann::ordered_json;

namespace rewards {
namespace {

constexpr double kHighest = 5;
constexpr const char* kProgram = "program:";

const std::vector<EditAxis>& usual_axes() {
  static const std::vector<EditAxis> axes = {
      {"instruction_following", "How much of what the instruction asks for was done?", true},
      {"detail_preserving",
       "How well is everything kept that the instruction does not ask to change?", true},
      {"generation_quality", "How clean and well made is this image, whatever it shows?", false}};
  return axes;
}

std::optional<double> within(double score) {
  return score >= 0 && score <= kHighest ? std::optional(score) : std::nullopt;
}

// A score without JSON: "Score: 4/5", "4". Whole numbers count as much as decimals.
std::optional<double> score_in(const std::string& text) {
  static const std::regex labelled(R"((?:score|rating)[^0-9]{0,12}([0-9]+(?:\.[0-9]+)?))",
                                   std::regex::icase);
  static const std::regex of_five(R"(([0-9]+(?:\.[0-9]+)?)\s*(?:/|out of)\s*5)", std::regex::icase);
  static const std::regex alone(R"(^\s*([0-9]+(?:\.[0-9]+)?)\s*\.?\s*$)");
  std::smatch found;
  const bool any = std::regex_search(text, found, of_five) ||
                   std::regex_search(text, found, labelled) ||
                   std::regex_search(text, found, alone);
  return any ? within(std::stod(found[1])) : std::nullopt;
}

// The text of a chat reply; nothing when it is none.
std::optional<std::string> reply_text(const std::string& body) {
  const json reply = data::parse_json(body);
  const json choices = reply.is_object() ? reply.value("choices", json()) : json();
  if (!choices.is_array() || choices.empty() || !choices[0].is_object()) return {};
  const json message = choices[0].value("message", json());
  const json text = message.is_object() ? message.value("content", json()) : json();
  return text.is_string() ? std::optional(text.get<std::string>()) : std::nullopt;
}

EditVerdict gathered(const std::vector<EditAxis>& axes,
                     const std::function<AxisVerdict(const EditAxis&)>& ask) {
  EditVerdict verdict;
  for (const auto& axis : axes) {
    const AxisVerdict one = ask(axis);
    if (!one.problem.empty()) return {{}, {}, axis.name + ": " + one.problem};
    verdict.scores[axis.name] = one.score;
    verdict.feedback.push_back(one.flaw);
  }
  return verdict;
}

// Asks until there is an answer that counts, or the retries are spent.
AxisVerdict ask_server(const data::Url& url,
                       const std::string& body,
                       const EditJudgeOptions& options) {
  double wait = options.first_wait;
  std::string problem;
  for (int64_t attempt = 0; attempt <= options.retries; ++attempt) {
    if (attempt > 0) {
      std::this_thread::sleep_for(std::chrono::duration<double>(wait));
      wait *= 2;
    }
    const data::HttpReply reply = data::http_post(url, body, {.seconds = options.seconds});
    if (reply.status == 200) return edit_judge_reply(reply.body);
    problem = reply.status == 0 ? reply.error : "status " + std::to_string(reply.status);
    if (data::is_refusal(reply.status))
      throw BadInput("judge " + url.host + ": " + problem + ", " + reply.body.substr(0, 120) +
                     "; check the address and the model");
  }
  return {.score = 0, .flaw = {}, .problem = problem};
}

std::string first_model(const data::Url& base, const EditJudgeOptions& options) {
  data::Url url = base;
  url.path += "/models";
  const data::HttpReply reply = data::http_get(url, {.seconds = options.seconds});
  const json list = data::parse_json(reply.body);
  const json models = list.is_object() ? list.value("data", json()) : json();
  if (models.is_array() && !models.empty() && models[0].is_object() &&
      models[0].value("id", json()).is_string())
    return models[0]["id"].get<std::string>();
  throw BadInput("judge " + url.host + ": expected a list of models at " + url.path + ", found " +
                 (reply.status == 0 ? reply.error : "status " + std::to_string(reply.status)) +
                 "; name one with --judge_model");
}

EditJudge server_judge(const std::string& address, EditJudgeOptions options) {
  data::Url url = data::parse_url(address, "--judge");
  if (!options.allow_remote && !data::is_loopback(url))
    throw BadInput("--judge: images would be sent to " + url.host +
                   ", another machine; allow it with --allow-remote");
  while (url.path.ends_with("/")) url.path.pop_back();
  if (options.model.empty()) options.model = first_model(url, options);
  url.path += "/chat/completions";
  return [=](const EditQuestion& question) {
    return gathered(options.axes, [&](const EditAxis& axis) {
      return ask_server(url, edit_judge_body(question, axis, options.model), options);
    });
  };
}

EditVerdict program_verdict(const std::optional<std::string>& line, int64_t id) {
  const json reply = line ? data::parse_json(*line) : json();
  const auto wrong = [&] {
    return EditVerdict{{},
                       {},
                       "expected {\"id\": " + std::to_string(id) +
                           ", \"scores\": {..}, \"feedback\": [..]}, found " +
                           (line ? "'" + line->substr(0, 80) + "'" : "no answer")};
  };
  if (!reply.is_object() || reply.value("id", json()) != id) return wrong();
  const json scores = reply.value("scores", json()), feedback = reply.value("feedback", json());
  if (!scores.is_object()) return wrong();
  EditVerdict verdict;
  for (const auto& [axis, score] : scores.items()) {
    if (!score.is_number() || !within(score.get<double>())) return wrong();
    verdict.scores[axis] = score.get<double>();
  }
  if (feedback.is_string()) verdict.feedback.push_back(feedback.get<std::string>());
  for (const auto& text : feedback.is_array() ? feedback : json::array()) {
    if (!text.is_string()) return wrong();
    verdict.feedback.push_back(text.get<std::string>());
  }
  return verdict;
}

EditJudge program_judge(const std::string& command, const EditJudgeOptions& options) {
  struct State {
    std::unique_ptr<data::LineSubprocess> program;
    int64_t next = 0;
  };
  const auto state = std::make_shared<State>();
  return [=](const EditQuestion& question) {
    if (!state->program) state->program = std::make_unique<data::LineSubprocess>(command);
    const int64_t id = state->next++;
    const ordered_json line{{"id", id},
                            {"instruction", question.instruction},
                            {"source_png", data::base64(question.source_png)},
                            {"edited_png", data::base64(question.edited_png)}};
    const auto deadline = std::chrono::steady_clock::now() +
                          std::chrono::milliseconds(static_cast<int64_t>(options.seconds * 1000));
    const bool sent = state->program->write_line(data::to_text(line), deadline);
    const EditVerdict verdict =
        program_verdict(sent ? state->program->read_line(deadline) : std::nullopt, id);
    // What else it may say belongs to no question.
    if (!verdict.problem.empty()) state->program.reset();
    return verdict;
  };
}

}  // namespace

EditAxis edit_axis(const std::string& text) {
  std::vector<std::string> names;
  for (const auto& axis : usual_axes()) {
    if (axis.name == text) return axis;
    names.push_back(axis.name);
  }
  const size_t equals = text.find('=');
  if (equals != std::string::npos && equals > 0 && equals + 1 < text.size())
    return {text.substr(0, equals), text.substr(equals + 1), true};
  const std::string near = data::nearest(text, names);
  throw BadInput("--axes: expected instruction_following, detail_preserving, generation_quality " +
                 std::string("or name=question, found '") + text + "'" +
                 (near.empty() ? "" : "; did you mean " + near + "?"));
}

std::string edit_judge_body(const EditQuestion& question,
                            const EditAxis& axis,
                            const std::string& model) {
  ordered_json content = ordered_json::array();
  const auto show = [&](const std::string& png) {
    content.push_back({{"type", "image_url"},
                       {"image_url", {{"url", "data:image/png;base64," + data::base64(png)}}}});
  };
  std::string text;
  if (axis.sees_source) {
    show(question.source_png);
    text = "The second image is an edit of the first by the instruction \"" + question.instruction +
           "\".\n";
  }
  show(question.edited_png);
  text += axis.question +
          "\nAnswer as JSON alone: {\"score\": a number from 0 (not at all) to 5 (perfectly), "
          "\"flaw\": one short sentence that names what is wrong, or \"None\"}.";
  content.push_back({{"type", "text"}, {"text", text}});
  const ordered_json body{{"model", model},
                          {"messages", {{{"role", "user"}, {"content", content}}}},
                          {"temperature", 0},
                          {"max_tokens", 120},
                          {"stream", false}};
  return data::to_text(body);
}

AxisVerdict edit_judge_reply(const std::string& body) {
  AxisVerdict verdict;
  const auto text = reply_text(body);
  if (!text) return {.score = 0, .flaw = {}, .problem = "no text"};
  const size_t begin = text->find('{'), end = text->rfind('}');
  const json object = begin != std::string::npos && end != std::string::npos && begin < end
                          ? data::parse_json(text->substr(begin, end - begin + 1))
                          : json();
  std::optional<double> score;
  if (object.is_object() && object.value("score", json()).is_number())
    score = within(object["score"].get<double>());
  if (object.is_object() && object.value("flaw", json()).is_string())
    verdict.flaw = object["flaw"].get<std::string>();
  if (!score && !object.is_object()) score = score_in(*text);
  if (!score)
    return {
        .score = 0, .flaw = {}, .problem = "no score from 0 to 5 in '" + text->substr(0, 60) + "'"};
  verdict.score = *score;
  return verdict;
}

EditJudge make_edit_judge(const std::string& address, const EditJudgeOptions& options) {
  if (address.starts_with(kProgram))
    return program_judge(address.substr(std::string(kProgram).size()), options);
  return server_judge(address, options);
}

}  // namespace rewards
