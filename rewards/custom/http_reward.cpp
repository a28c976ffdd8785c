#include "rewards/custom/http_reward.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <nlohmann/json.hpp>
#include <thread>

#include "data/base/base64.hpp"
#include "data/base/error.hpp"
#include "data/base/json.hpp"
#include "data/base/log.hpp"
#include "data/images/image_io.hpp"
#include "data/unicode/utf8.hpp"
#include "rewards/custom/score_tensor.hpp"
#include "rewards/loader/loader.hpp"

namespace rewards {
namespace {

constexpr double kLongestWait = 60;  // seconds between two attempts
constexpr int kQuietAttempts = 3;    // before a message on stderr

std::string request_text(const RewardBatch& batch) {
  nlohmann::ordered_json request;
  request["prompts"] = batch.prompts;
  request["images"] = nlohmann::ordered_json::array();
  for (int64_t i = 0; i < batch.images.size(0); ++i)
    request["images"].push_back(data::base64(data::encode_png(batch.images[i])));
  return data::to_text(request);
}

struct ServerScores {
  std::vector<double> values;
  std::string fault;  // empty: the scores are valid
};

ServerScores read_scores(const data::HttpReply& reply, int64_t count) {
  if (reply.status == 0) return {{}, reply.error};
  if (reply.status != 200) return {{}, "status " + std::to_string(reply.status)};
  const auto json = data::parse_json_with_nan(reply.body);
  const auto list = json.is_object() ? json.value("scores", nlohmann::json()) : nlohmann::json();
  const std::string expected = "expected {\"scores\": [" + std::to_string(count) +
                               " numbers or null]}, found '" + data::shortened(reply.body, 80) +
                               "'";
  if (!list.is_array() || static_cast<int64_t>(list.size()) != count) return {{}, expected};
  ServerScores scores;
  for (const auto& value : list) {
    if (!value.is_number() && !value.is_null()) return {{}, expected};
    scores.values.push_back(value.is_null() ? std::numeric_limits<double>::quiet_NaN()
                                            : value.get<double>());
  }
  return scores;
}

// Repeats the request until a valid answer, or until patience ends.
std::vector<double> ask(const std::string& name,
                        const data::Url& url,
                        const ExternalOptions& options,
                        const RewardBatch& batch) {
  const std::string body = request_text(batch);
  const auto started = std::chrono::steady_clock::now();
  double wait = options.first_wait;
  bool told_to_wait = false;  // and said so
  for (int attempt = 1;; ++attempt) {
    const data::HttpReply reply = data::http_post(url, body, {.seconds = options.seconds});
    const ServerScores scores = read_scores(reply, batch.images.size(0));
    if (scores.fault.empty()) return scores.values;
    const std::string what = "reward " + name + ": " + url.scheme + "://" + url.host + ":" +
                             std::to_string(url.port) + url.path + ": " + scores.fault;
    if (data::is_refusal(reply.status))
      throw data::BadInput(what + "; check the address and the server");
    const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - started;
    if (spent.count() >= options.patience)
      throw data::BadInput(
          what + ", for " + std::to_string(static_cast<int64_t>(spent.count())) +
          " s; resume the run from its last checkpoint when the server works again");
    const bool is_due =
        attempt == kQuietAttempts || (attempt > kQuietAttempts && wait >= kLongestWait);
    const bool is_asked = data::retry_after(reply) >= 0;
    if (is_asked ? !told_to_wait : is_due) data::log_warning(what + "; waiting for it");
    told_to_wait = told_to_wait || is_asked;
    const double chosen = data::wait_before_retry(reply, wait, options.patience - spent.count());
    std::this_thread::sleep_for(std::chrono::duration<double>(chosen));
    wait = std::min(2 * wait, kLongestWait);
  }
}

}  // namespace

Reward http_reward(const std::string& name, const data::Url& url, const ExternalOptions& options) {
  if (!options.any_host && !data::is_loopback(url))
    throw data::BadInput("reward " + name + ": images would be sent to " + url.host +
                         ", another machine; allow it with --allow-remote");
  const auto score = [=](const RewardBatch& batch) {
    const RewardBatch local{batch.images.detach().cpu(), batch.prompts};
    const auto scores = ask(name, url, options, local);
    return tensor_of_scores(scores).to(batch.images.device());
  };
  return {.info = {.name = name,
                   .unit = "its own",
                   .needs_prompt = false,
                   .description = "the server at " + url.host + ":" + std::to_string(url.port)},
          .score = score};
}

const FamilyEntry kHttpFamily{
    .name = "http",
    .schemes = {"http", "https"},
    .scheme_is_argument = true,
    .make = [](const RewardSpec& spec, RewardLoader& loader) {
      return http_reward(spec.name, data::parse_url(spec.argument, "reward " + spec.name),
                         loader.sources().external);
    }};

}  // namespace rewards
