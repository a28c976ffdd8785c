#include "rewards/judge/edit_judge.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>

#include "data/base/base64.hpp"
#include "data/base/error.hpp"
#include "data/base/json.hpp"
#include "data/base/log.hpp"
#include "data/system/http.hpp"
#include "data/system/line_answer.hpp"
#include "data/unicode/utf8.hpp"
#include "rewards/judge/answer_text.hpp"
#include "rewards/judge/answer_words.hpp"
#include "rewards/judge/chat_dialect.hpp"

using data::BadInput;
using nlohmann::json;
using nlohmann::ordered_json;

namespace rewards {
namespace {

constexpr double kHighest = 5;
constexpr double kLongestEditWait = 60,
                 kPatience = 3600;  // seconds: of its own, as the server asks
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

// A server, and what was learnt of how it wants to be asked.
struct Server {
  data::Url url;
  EditJudgeOptions options;
  ChatDialect dialect{};
  bool told_to_wait = false;  // and said so
};

// An answer, or a problem that is worth asking again.
std::optional<AxisVerdict> read_verdict(Server& server,
                                        const data::HttpReply& reply,
                                        const ordered_json& body) {
  if (reply.status == 200) {
    const AxisVerdict verdict = edit_judge_reply(reply.body);
    const std::string said = verdict.problem.empty() ? "" : make_room(server.dialect, reply.body);
    if (said.empty()) return verdict;
    data::log_warning(said);
    return std::nullopt;
  }
  const std::string problem =
      "status " + std::to_string(reply.status) + ", " + data::shortened(reply.body, 120);
  if (refuses_question(reply)) {
    const std::string said = adapt(server.dialect, reply, body);
    if (said.empty()) return AxisVerdict{.score = 0, .flaw = {}, .problem = problem};
    data::log_warning(said);
    return std::nullopt;
  }
  if (data::is_refusal(reply.status))
    throw BadInput("judge " + server.url.host + ": " + problem +
                   "; check the address and the model");
  return std::nullopt;
}

// Asks until there is an answer that counts, or the retries are spent.
AxisVerdict ask_server(Server& server, const ordered_json& question) {
  double wait = server.options.first_wait;
  for (int64_t attempt = 0;;) {
    const ordered_json body = in_dialect(server.dialect, question);
    const ChatDialect before = server.dialect;
    const data::HttpReply reply =
        data::http_post(server.url, data::to_text(body), {.seconds = server.options.seconds});
    if (const auto verdict = read_verdict(server, reply, body)) return *verdict;
    if (server.dialect != before) continue;
    if (attempt++ == server.options.retries)
      return {
          .score = 0,
          .flaw = {},
          .problem = reply.status == 0 ? reply.error : "status " + std::to_string(reply.status)};
    const double chosen = data::wait_before_retry(reply, wait, kPatience);
    if (data::retry_after(reply) >= 0 && !server.told_to_wait) {
      data::log_warning("the judge asks for a pause; waiting " +
                        std::to_string(std::llround(chosen)) + " s, from now on unsaid");
      server.told_to_wait = true;
    }
    std::this_thread::sleep_for(std::chrono::duration<double>(chosen));
    wait = std::min(2 * wait, kLongestEditWait);
  }
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
  const auto server = std::make_shared<Server>(Server{.url = url, .options = options});
  return [server](const EditQuestion& question) {
    return gathered(server->options.axes, [&](const EditAxis& axis) {
      return ask_server(*server, edit_judge_request(question, axis, server->options.model));
    });
  };
}

// `found`: what it said instead.
EditVerdict wrong_answer(int64_t id, const std::string& found) {
  return {{},
          {},
          "expected {\"id\": " + std::to_string(id) +
              ", \"scores\": {..}, \"feedback\": [..]}, found " +
              (found.empty() ? "no answer" : "'" + data::shortened(found, 80) + "'")};
}

EditVerdict program_verdict(const json& reply, int64_t id, const std::string& line) {
  const json scores = reply.value("scores", json()), feedback = reply.value("feedback", json());
  if (!scores.is_object()) return wrong_answer(id, line);
  EditVerdict verdict;
  for (const auto& [axis, score] : scores.items()) {
    if (!score.is_number() || !within(score.get<double>())) return wrong_answer(id, line);
    verdict.scores[axis] = score.get<double>();
  }
  if (feedback.is_string()) verdict.feedback.push_back(feedback.get<std::string>());
  for (const auto& text : feedback.is_array() ? feedback : json::array()) {
    if (!text.is_string()) return wrong_answer(id, line);
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
    json reply;
    std::string last;
    const bool answered = state->program->write_line(data::to_text(line), deadline) &&
                          data::read_answer(*state->program, id, deadline, reply, last);
    const EditVerdict verdict =
        answered ? program_verdict(reply, id, last) : wrong_answer(id, last);
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

ordered_json edit_judge_request(const EditQuestion& question,
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
  return {{"model", model},
          {"messages", {{{"role", "user"}, {"content", content}}}},
          {"temperature", 0},
          {"max_tokens", 120},
          {"stream", false}};
}

AxisVerdict edit_judge_reply(const std::string& body) {
  const auto text = chat_text(data::parse_json(body));
  if (!text) return {.score = 0, .flaw = {}, .problem = "no text"};
  const auto score = score_in_words(*text, 0, kHighest);
  if (!score)
    return {.score = 0,
            .flaw = {},
            .problem = "no score from 0 to 5 in '" + data::shortened(*text, 60) + "'"};
  AxisVerdict verdict{.score = *score};
  for (const json& object : objects_in(without_thoughts(*text))) {
    const json flaw = object.value("flaw", json());
    if (flaw.is_string()) verdict.flaw = flaw.get<std::string>();
  }
  return verdict;
}

EditJudge make_edit_judge(const std::string& address, const EditJudgeOptions& options) {
  if (address.starts_with(kProgram))
    return program_judge(address.substr(std::string(kProgram).size()), options);
  return server_judge(address, options);
}

}  // namespace rewards
