#include "rewards/world/simulated_judge.hpp"

#include <ATen/ATen.h>

#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numbers>

#include "data/base/base64.hpp"
#include "data/base/error.hpp"
#include "data/base/json.hpp"
#include "data/images/image_io.hpp"
#include "data/storage/sha256.hpp"
#include "rewards/judge/question.hpp"
#include "rewards/world/oracle_reward.hpp"
#include "rewards/world/rater_preference.hpp"
#include "rewards/world/simulated_edit_judge.hpp"
#include "rewards/world/simulated_formula_writer.hpp"

using data::BadInput;
using nlohmann::json;
using nlohmann::ordered_json;

namespace rewards {
namespace {

constexpr double kPreferenceSteepness =
    8;                        // log-odds for one unit of difference between two images
constexpr double kTie = 1.4;  // Rao and Kupper's constant: how near images must be for a tie

// What a request shows and says.
struct Message {
  std::vector<std::string> images;  // PNG bytes
  std::string text, seed;
};

struct Asked {
  std::vector<std::string> images;  // PNG bytes
  std::string prompt, axis, seed;
};

// The axis whose question is in the text.
std::string axis_in(const std::string& text) {
  for (const std::string name : {"alignment", "quality", "overall"}) {
    if (text.find(judge_axis(name).question) != std::string::npos) return name;
  }
  throw BadInput("messages: expected one of laurel's own questions");
}

Message message_in(const json& body) {
  Message message{.images = {}, .text = {}, .seed = data::to_text(body.value("seed", json(0)))};
  const json messages = body.value("messages", json());
  if (!messages.is_array() || messages.empty() || !messages.back().is_object() ||
      !messages.back().value("content", json()).is_array())
    throw BadInput("messages: expected content parts");
  for (const json& part : messages.back()["content"]) {
    if (part.value("type", "") == "image_url") {
      const std::string url = part.at("image_url").at("url");
      const size_t comma = url.find(";base64,");
      if (comma == std::string::npos) throw BadInput("image_url: expected a data: URI");
      message.images.push_back(data::from_base64(url.substr(comma + 8)));
    } else if (part.value("type", "") == "text") {
      message.text = part.at("text");
    }
  }
  if (message.images.empty() || message.images.size() > 2 || message.text.empty())
    throw BadInput("messages: expected one or two images and a text");
  return message;
}

Asked parse(const Message& message) {
  const std::string& text = message.text;
  const size_t first = text.find('"'), last = text.find("\"\n\nQuestion: ");
  if (first == std::string::npos || last == std::string::npos || last <= first)
    throw BadInput("messages: expected laurel's form of question");
  return {.images = message.images,
          .prompt = text.substr(first + 1, last - first - 1),
          .axis = axis_in(text),
          .seed = message.seed};
}

double judged(const Asked& asked, size_t image) {
  return world_judgement(asked.axis, data::decode_image(asked.images[image], "image"),
                         asked.prompt);
}

// The noise depends on image, prompt, axis and seed.
double noise_of(const Asked& asked, size_t image) {
  return normal_of(asked.seed + asked.axis + asked.prompt + data::sha256(asked.images[image]));
}

std::vector<double> level_probabilities(const WorldJudge& judge, const Asked& asked) {
  const double level = 1 + 4 * judged(asked, 0) + judge.noise * noise_of(asked, 0);
  std::vector<double> probabilities;
  double sum = 0;
  for (int digit = 1; digit <= 5; ++digit) {
    const double z = (digit - std::clamp(level, 1.0, 5.0)) / judge.uncertainty;
    probabilities.push_back(std::exp(-z * z / 2));
    sum += probabilities.back();
  }
  for (double& p : probabilities) p /= sum;
  return probabilities;
}

// A, B, C: Rao and Kupper (1967).
std::vector<double> pair_probabilities(const WorldJudge& judge, const Asked& asked) {
  const double noise = judge.noise / 4 * (noise_of(asked, 0) - noise_of(asked, 1));
  const double z =
      kPreferenceSteepness * (judged(asked, 0) - judged(asked, 1) + noise) + judge.position_bias;
  const double a = 1 / (1 + kTie * std::exp(-z)), b = 1 / (1 + kTie * std::exp(z));
  return {a, b, 1 - a - b};
}

// As real tokenizers do, a part of a symbol's probability is on the token with a leading space.
ordered_json log_probabilities(const std::vector<double>& probabilities, char first) {
  ordered_json top = ordered_json::array();
  for (size_t i = 0; i < probabilities.size(); ++i) {
    const std::string symbol(1, static_cast<char>(first + static_cast<char>(i)));
    const double p =
        std::max(probabilities[i], 1e-12) * 0.98;  // the remaining 2 % is on other tokens
    top.push_back({{"token", symbol}, {"logprob", std::log(0.9 * p)}});
    top.push_back({{"token", " " + symbol}, {"logprob", std::log(0.1 * p)}});
  }
  top.push_back({{"token", "The"}, {"logprob", std::log(0.02)}});
  return top;
}

data::HttpReply json_reply(int status, const ordered_json& body) {
  return {.status = status, .body = data::to_text(body), .headers = {}, .error = {}};
}

data::HttpReply refused(const std::string& reason) {
  return json_reply(400, {{"error", {{"message", reason}, {"type", "invalid_request_error"}}}});
}

data::HttpReply completion(const WorldJudge& judge, ordered_json choice, size_t images) {
  const size_t prompt = 120 * images, answer = choice.contains("logprobs") ? 1 : 20;
  choice["index"] = 0;
  return json_reply(200, {{"object", "chat.completion"},
                          {"model", judge.name},
                          {"choices", ordered_json::array({choice})},
                          {"usage",
                           {{"prompt_tokens", prompt},
                            {"completion_tokens", answer},
                            {"total_tokens", prompt + answer}}}});
}

// The most probable symbol, with log-probabilities.
ordered_json symbol_choice(const WorldJudge& judge, const Asked& asked) {
  const bool pair = asked.images.size() == 2;
  const auto probabilities =
      pair ? pair_probabilities(judge, asked) : level_probabilities(judge, asked);
  const auto best = std::max_element(probabilities.begin(), probabilities.end());
  const std::string symbol(1,
                           static_cast<char>((pair ? 'A' : '1') + (best - probabilities.begin())));
  ordered_json token{{"token", symbol}, {"logprob", std::log(std::max(*best, 1e-12))}};
  token["top_logprobs"] = log_probabilities(probabilities, pair ? 'A' : '1');
  ordered_json choice{{"finish_reason", "length"}};
  choice["message"] = {{"role", "assistant"}, {"content", symbol}};
  choice["logprobs"] = {{"content", ordered_json::array({token})}};
  return choice;
}

data::HttpReply answer(const WorldJudge& judge, const Message& message) {
  if (auto edit = edit_question_in(message.text)) {
    edit->images = message.images;
    const std::string text = edit_answer(judge, *edit, message.seed);
    return completion(
        judge, {{"finish_reason", "stop"}, {"message", {{"role", "assistant"}, {"content", text}}}},
        message.images.size());
  }
  return completion(judge, symbol_choice(judge, parse(message)), message.images.size());
}

}  // namespace

double normal_of(const std::string& text) {
  const std::string digest = data::sha256(text);
  const auto uniform = [&](size_t from) {
    return (static_cast<double>(std::stoull(digest.substr(from, 13), nullptr, 16)) + 0.5) /
           static_cast<double>(uint64_t{1} << 52);
  };
  return std::sqrt(-2 * std::log(uniform(0))) * std::cos(2 * std::numbers::pi * uniform(20));
}

double world_judgement(const std::string& axis,
                       const at::Tensor& image,
                       const std::string& prompt) {
  const at::Tensor one = image.unsqueeze(0);
  const auto alignment = [&] {
    return claim_shares(one, {prompt}, OraclePart::kObjects).item<double>();
  };
  const auto quality = [&] {
    const PreferenceParts parts = preference_parts(one);
    return 0.6 * parts.clarity.item<double>() + 0.4 * parts.contrast.item<double>();
  };
  if (axis == "alignment") return alignment();
  if (axis == "quality") return quality();
  return 0.6 * alignment() + 0.4 * quality();
}

data::HttpReply world_judge_reply(const WorldJudge& judge, const data::HttpRequest& request) {
  if (request.path == "/health") return json_reply(200, {{"status", "ok"}});
  if (request.path == "/v1/models")
    return json_reply(200,
                      {{"object", "list"},
                       {"data", ordered_json::array({{{"id", judge.name}, {"object", "model"}}})}});
  if (request.path != "/v1/chat/completions")
    return json_reply(404, {{"error", {{"message", "no such path: " + request.path}}}});
  const json body = data::parse_json(request.body);
  if (!body.is_object()) return refused("the body is not a JSON object");
  if (const auto wish = wish_in(body))
    return completion(judge,
                      {{"finish_reason", "stop"},
                       {"message", {{"role", "assistant"}, {"content", formula_answer(*wish)}}}},
                      0);
  if (!judge.constraints && body.contains("structured_outputs"))
    return refused("structured_outputs: unknown field");
  try {
    return answer(judge, message_in(body));
  } catch (const BadInput& error) {
    return refused(error.what());
  } catch (const json::exception& error) {
    return refused(error.what());
  }
}

}  // namespace rewards
