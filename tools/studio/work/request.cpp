#include "tools/studio/work/request.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "data/base/error.hpp"
#include "data/base/strings.hpp"
#include "data/unicode/utf8.hpp"
#include "rewards/combine/aggregate.hpp"
#include "tools/studio/work/methods.hpp"

namespace studio {
namespace {

constexpr int64_t kMostRounds = 100'000, kMostPictures = 64;
constexpr int64_t kLargestNumber = int64_t{1} << 50;  // of a job, a person, a seed
constexpr size_t kLongestTried = 1000;                // bytes of a prompt

int64_t number_in(const nlohmann::json& body, const char* key, int64_t otherwise, int64_t most) {
  if (!body.contains(key)) return otherwise;
  const bool whole = body[key].is_number_integer();
  const int64_t value = whole ? body[key].get<int64_t>() : -1;
  if (value < 0 || value > most)
    throw data::BadInput(std::string(key) + ": expected a whole number from 0 to " +
                         std::to_string(most));
  return value;
}

std::string word_in(const nlohmann::json& body, const char* key) {
  if (!body.contains(key)) return "";
  if (!body[key].is_string()) throw data::BadInput(std::string(key) + ": expected a text");
  return body[key].get<std::string>();
}

// A prompt of one line.
std::string prompt_in(const nlohmann::json& body) {
  const std::string prompt = data::trimmed(word_in(body, "prompt"));
  if (prompt.size() > kLongestTried || data::printable(prompt) != prompt)
    throw data::BadInput("prompt: expected a line of at most " + std::to_string(kLongestTried) +
                         " bytes without control characters");
  return prompt;
}

}  // namespace

JobRequest job_request(const nlohmann::json& body) {
  JobRequest request;
  request.from_answers = body.contains("from_answers") && body["from_answers"] == true;
  request.method = word_in(body, "method");
  if (request.method.empty()) request.method = training_methods().front().name;
  const TrainingMethod& method =
      training_method(request.method, request.from_answers);  // throws for one that is none
  request.rounds = number_in(body, "rounds", 0, kMostRounds);
  if (request.rounds == 0) request.rounds = method.usual;
  request.count = std::max<int64_t>(2, number_in(body, "count", 4, kMostPictures));
  request.taste = number_in(body, "taste", 0, kLargestNumber);
  request.person = number_in(body, "person", 0, kLargestNumber);
  request.aggregate = word_in(body, "aggregate");
  if (!request.aggregate.empty()) rewards::aggregate_by_name(request.aggregate);
  request.of = number_in(body, "of", 0, kLargestNumber);
  request.prompt = prompt_in(body);
  request.seed = number_in(body, "seed", 0, kLargestNumber);
  return request;
}

nlohmann::json to_json(const JobRequest& request) {
  return {{"method", request.method}, {"from_answers", request.from_answers},
          {"rounds", request.rounds}, {"taste", request.taste},
          {"person", request.person}, {"aggregate", request.aggregate},
          {"count", request.count},   {"of", request.of},
          {"prompt", request.prompt}, {"seed", request.seed}};
}

}  // namespace studio
