#include "rewards/custom/program_reward.hpp"

#include <ATen/ATen.h>

#include <atomic>
#include <exception>
#include <limits>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

#include "data/base/base64.hpp"
#include "data/base/error.hpp"
#include "data/base/json.hpp"
#include "data/images/image_io.hpp"
#include "data/system/line_answer.hpp"
#include "data/unicode/utf8.hpp"
#include "rewards/custom/score_tensor.hpp"
#include "rewards/loader/loader.hpp"

namespace rewards {
namespace {

constexpr double kMissing = std::numeric_limits<double>::quiet_NaN();
constexpr int kMostFailures = 3;  // images in a row

// The programs of one reward. A restarted program keeps its position.
struct Pool {
  std::string name, command;
  ExternalOptions options;
  std::vector<std::unique_ptr<data::LineSubprocess>> programs;
  std::atomic<int64_t> next_id = 0;
};

std::string question(int64_t id, const at::Tensor& image, const std::string& prompt) {
  nlohmann::ordered_json line;
  line["id"] = id;
  line["prompt"] = prompt;
  line["png"] = data::base64(data::encode_png(image));
  return data::to_text(line);
}

struct ProgramAnswer {
  bool understood = false;
  double score = kMissing;
  std::string fault;
};

// A reply to our question. A score that is no number (NaN, or null) is missing, as after "error".
ProgramAnswer read_score(const nlohmann::json& reply, const std::string& line) {
  const auto score = reply.find("score");
  if (score != reply.end() && score->is_number())
    return {.understood = true, .score = score->get<double>(), .fault = ""};
  if ((score != reply.end() && score->is_null()) || reply.contains("error"))
    return {.understood = true, .fault = ""};
  return {.fault = "expected {\"id\": NUMBER, \"score\": NUMBER}, found '" +
                   data::shortened(line, 80) + "'"};
}

ProgramAnswer ask(Pool& pool, size_t place, const at::Tensor& image, const std::string& prompt) {
  ProgramAnswer answer;
  for (int attempt = 0; attempt < 2 && !answer.understood; ++attempt) {
    auto& program = pool.programs[place];
    if (!program) program = std::make_unique<data::LineSubprocess>(pool.command);
    const int64_t id = pool.next_id++;
    const auto deadline =
        std::chrono::steady_clock::now() +
        std::chrono::milliseconds(static_cast<int64_t>(pool.options.seconds * 1000));
    nlohmann::json reply;
    std::string last;
    if (program->write_line(question(id, image, prompt), deadline) &&
        data::read_answer(*program, id, deadline, reply, last))
      answer = read_score(reply, last);
    else
      answer = {.fault = "no answer: it died or was late" +
                         (last.empty() ? "" : "; found '" + data::shortened(last, 80) + "'")};
    if (!answer.understood) program.reset();  // its further output would belong to no question
  }
  return answer;
}

// One worker: scores the next image until none is left.
void work(Pool& pool,
          size_t place,
          const RewardBatch& batch,
          std::atomic<int64_t>& next,
          std::vector<double>& scores) {
  int failures = 0;
  for (int64_t i = next++; i < batch.images.size(0); i = next++) {
    const auto row = static_cast<size_t>(i);
    const std::string prompt = batch.prompts.empty() ? "" : batch.prompts[row];
    const ProgramAnswer answer = ask(pool, place, batch.images[i], prompt);
    scores[row] = answer.score;
    failures = answer.understood ? 0 : failures + 1;
    if (failures == kMostFailures) {
      throw data::BadInput("reward " + pool.name + ": the program '" + pool.command +
                           "' failed on " + std::to_string(kMostFailures) +
                           " images in a row: " + answer.fault + "; try it by hand");
    }
  }
}

at::Tensor score(Pool& pool, const RewardBatch& batch) {
  std::vector<double> scores(static_cast<size_t>(batch.images.size(0)), kMissing);
  const RewardBatch local{batch.images.detach().cpu(), batch.prompts};
  std::atomic<int64_t> next = 0;
  std::exception_ptr fault;
  std::mutex guard;
  std::vector<std::thread> threads;
  for (size_t place = 0; place < pool.programs.size(); ++place) {
    threads.emplace_back([&, place] {
      try {
        work(pool, place, local, next, scores);
      } catch (...) {
        const std::lock_guard lock(guard);
        fault = std::current_exception();
      }
    });
  }
  for (auto& thread : threads) thread.join();
  if (fault) std::rethrow_exception(fault);
  return tensor_of_scores(scores).to(batch.images.device());
}

}  // namespace

Reward program_reward(const std::string& name,
                      const std::string& command,
                      const ExternalOptions& options) {
  const auto pool = std::make_shared<Pool>();
  pool->name = name;
  pool->command = command;
  pool->options = options;
  pool->programs.resize(static_cast<size_t>(options.workers));
  return {.info = {.name = name,
                   .unit = "its own",
                   .needs_prompt = false,
                   .description = "the program " + command},
          .score = [pool](const RewardBatch& batch) { return score(*pool, batch); }};
}

const FamilyEntry kProgramFamily{.name = "program",
                                 .schemes = {"program"},
                                 .make = [](const RewardSpec& spec, RewardLoader& loader) {
                                   return program_reward(spec.name, spec.argument,
                                                         loader.sources().external);
                                 }};

}  // namespace rewards
