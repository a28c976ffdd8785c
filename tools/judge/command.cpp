// `laurel judge`: asks a vision-language server about images.

#include "tools/judge/command.hpp"

#include <algorithm>
#include <atomic>
#include <iostream>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <random>
#include <set>
#include <sstream>
#include <thread>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/format.hpp"
#include "data/base/json.hpp"
#include "data/images/image_files.hpp"
#include "data/images/image_io.hpp"
#include "data/images/pixel_budget.hpp"
#include "data/storage/cut_line.hpp"
#include "data/storage/folder_lock.hpp"
#include "data/storage/sha256.hpp"
#include "rewards/judge/client.hpp"
#include "tools/cli/console/progress.hpp"
#include "tools/cli/options.hpp"
#include "tools/judge/chat_server.hpp"
#include "tools/score/image_prompts.hpp"

namespace fs = std::filesystem;
using data::BadInput;

namespace tools {
namespace {

struct JudgeCommand {
  ChatServerConfig server;
  std::string output, cache, mode = "point";
  std::vector<std::string> axes;
  PromptSources sources;
  std::string prompt, prompts;
  bool recursive = false;
  int64_t pairs = 4, seed = 0, max_side = 1024, concurrency = 8;
  rewards::JudgePolicy policy;
};

void declare(Options& options, JudgeCommand& s) {
  declare_chat_server(options, s.server);
  options.text("output", s.output, "JSONL of judgements; an existing file is continued");
  options.short_name("output", 'o');
  options.choice("mode", s.mode, {"point", "pair"},
                 "a score for each image, or the better of two, asked in both orders");
  options.list("axes", s.axes,
               "alignment, quality, overall, or name=question; several "
               "[alignment and quality; pairs: overall]");
  options.flag("recursive", s.recursive, "of a folder, also the images of folders inside it");
  options.text("prompt", s.prompt, "of every image [beside each: NAME.txt, metadata.jsonl, PNG]");
  options.short_name("prompt", 'p');
  options.text("prompts", s.prompts, "file: a prompt an image, in order of names");
  options.integer("pairs", s.pairs, "pair mode: random pairs a prompt", 1, 100000);
  options.integer("seed", s.seed, "of the server's sampling and of the pairs", 0);
  options.rare().integer("max_side", s.max_side, "larger images are sent at this size, pixels", 16,
                         16384);
  options.group("how it asks");
  options.integer("concurrency", s.concurrency, "requests at a time", 1, 256);
  declare_chat_timeout(options, s.server);
  options.integer("retries", s.policy.retries, "after 429, 5xx, no answer", 0, 100);
  options.rare().number("backoff", s.policy.backoff_seconds, "seconds before the first; doubles", 0,
                        3600);
  options.number("rate", s.policy.requests_a_minute, "requests a minute; 0: no limit", 0, 1e6);
  options.integer("max_requests", s.policy.max_requests, "budget; 0: no limit", 0, 1000000000);
  options.integer("max_tokens", s.policy.max_tokens, "budget, as the server counts; 0: no limit", 0,
                  1000000000000);
  options.rare().integer("pause_after", s.policy.pause_after, "unusable answers in a row", 1,
                         1000000);
  options.rare().number("pause", s.policy.pause_seconds, "seconds of the first pause; doubles", 0,
                        86400);
  options.rare().number("max_pause", s.policy.max_pause_seconds,
                        "seconds of all pauses; then it ends", 0, 1e7);
  options.text("cache", s.cache, "JSONL of raw replies, to share between outputs [OUTPUT.cache]");
  declare_chat_access(options, s.server, "images leave");
}

// One line of the output: an image, or a pair in one order, with all axes.
struct JudgeItem {
  std::string prompt;
  std::vector<size_t> images;  // rows of the files, in the order of the question
  bool a_first = true;
};

std::vector<JudgeItem> point_items(const std::vector<std::string>& prompts) {
  std::vector<JudgeItem> items;
  for (size_t i = 0; i < prompts.size(); ++i) items.push_back({prompts[i], {i}});
  return items;
}

std::vector<JudgeItem> pair_items(const std::vector<std::string>& prompts, const JudgeCommand& s) {
  std::map<std::string, std::vector<size_t>> of_prompt;
  for (size_t i = 0; i < prompts.size(); ++i) of_prompt[prompts[i]].push_back(i);
  std::mt19937_64 chance(static_cast<uint64_t>(s.seed));
  std::vector<JudgeItem> items;
  for (const auto& [prompt, rows] : of_prompt) {
    std::vector<std::pair<size_t, size_t>> all;
    for (size_t i = 0; i < rows.size(); ++i) {
      for (size_t j = i + 1; j < rows.size(); ++j) all.emplace_back(rows[i], rows[j]);
    }
    for (size_t i = all.size(); i > 1; --i) std::swap(all[i - 1], all[chance() % i]);
    all.resize(std::min(all.size(), static_cast<size_t>(s.pairs)));
    for (const auto& [a, b] : all) {
      items.push_back({prompt, {a, b}, true});
      items.push_back({prompt, {b, a}, false});
    }
  }
  if (items.empty())
    throw BadInput(
        "laurel judge: --mode pair: expected several images of a prompt, found one of "
        "each");
  return items;
}

constexpr int64_t kJudgedPixels = int64_t{1} << 26;  // by all threads, unless it is one picture

std::string picture(const fs::path& file, int64_t max_side) {
  static data::PixelBudget budget(kJudgedPixels);
  const std::string bytes = data::read_file(file);
  const data::PixelLease lease(budget, data::image_size(bytes, file.string()).pixels());
  at::Tensor image = data::decode_image(bytes, file.string());
  const int64_t longer = std::max(image.size(1), image.size(2));
  if (longer > max_side) {
    const auto side = [&](int64_t size) { return std::max<int64_t>(1, size * max_side / longer); };
    image = data::resize(image, side(image.size(1)), side(image.size(2)), data::ResizeKind::kArea);
  }
  return data::encode_png(image);
}

struct JudgeRun {
  const JudgeCommand& s;
  std::vector<fs::path> files;
  std::vector<rewards::JudgeAxis> axes;
  rewards::JudgeSampling sampling;
  rewards::JudgeClient& client;
  std::set<std::string> done;          // ids of complete lines in the output
  std::mutex& mutex;                   // of the output, the progress and what follows
  int64_t unreadable = 0, usable = 0;  // images; items with an answer, from earlier runs too
};

rewards::JudgedItem judge(JudgeRun& run, const JudgeItem& item) {
  const fs::path folder = fs::absolute(run.s.output).parent_path();
  rewards::JudgeQuestion question{.axis = {}, .prompt = item.prompt, .images = {}};
  rewards::JudgedItem judged{.id = {},
                             .prompt = item.prompt,
                             .judge = run.sampling.model,
                             .paths = {},
                             .digests = {},
                             .a_first = item.a_first,
                             .axes = {}};
  for (const size_t row : item.images) {
    question.images.push_back(picture(run.files[row], run.s.max_side));
    judged.paths.push_back(fs::absolute(run.files[row]).lexically_proximate(folder).string());
    judged.digests.push_back(data::sha256(question.images.back()));
  }
  if (!item.a_first) {
    std::swap(judged.paths[0], judged.paths[1]);
    std::swap(judged.digests[0], judged.digests[1]);
  }
  std::string keys;
  for (const auto& axis : run.axes) {
    question.axis = axis;
    keys += rewards::judge_key(question, run.sampling);
  }
  judged.id = data::sha256(keys);
  if (run.done.count(judged.id)) return judged;  // no axes: nothing to write
  for (const auto& axis : run.axes) {
    question.axis = axis;
    judged.axes.push_back({axis.name, run.client.ask(question, run.sampling)});
  }
  return judged;
}

// The ids of the lines that are complete: every axis has an answer.
std::set<std::string> ids_in(const fs::path& output) {
  std::set<std::string> ids;
  if (!fs::exists(output)) return ids;
  std::istringstream lines(data::read_file(output));
  for (std::string text; std::getline(lines, text);) {
    const auto line = data::parse_json(text);  // a line that was cut off has no id
    const auto axes = line.is_object() ? line.value("axes", nlohmann::json()) : nlohmann::json();
    const auto missing = [](const nlohmann::json& axis) { return axis.is_null(); };
    const auto id = line.is_object() ? line.value("id", nlohmann::json()) : nlohmann::json();
    if (axes.is_object() && std::none_of(axes.begin(), axes.end(), missing) && id.is_string())
      ids.insert(id.get<std::string>());
  }
  return ids;
}

void work(JudgeRun& run,
          const std::vector<JudgeItem>& items,
          std::atomic<size_t>& next,
          Progress& progress) {
  for (size_t i = next++; i < items.size(); i = next++) {
    try {
      const auto judged = judge(run, items[i]);
      const std::lock_guard lock(run.mutex);
      run.usable += judged.axes.empty() || rewards::is_usable(judged);
      if (!judged.axes.empty()) data::append_line(run.s.output, rewards::judgement_line(judged));
      progress.advance();
    } catch (const BadInput& error) {
      const std::lock_guard lock(run.mutex);
      ++run.unreadable;
      progress.print_fault(error.what());
    }
  }
}

// Returns the reason of an early end; "": none.
std::string ask_all(JudgeRun& run, const std::vector<JudgeItem>& items, Progress& progress) {
  std::atomic<size_t> next{0};
  std::string stopped;
  std::vector<std::thread> threads;
  for (int64_t i = 0; i < run.s.concurrency; ++i) {
    threads.emplace_back([&] {
      try {
        work(run, items, next, progress);
      } catch (const std::exception& error) {
        next = items.size();
        const std::lock_guard lock(run.mutex);
        if (stopped.empty()) stopped = error.what();
      }
    });
  }
  for (auto& thread : threads) thread.join();
  return stopped;
}

void report(const rewards::JudgeCounts& counts, const JudgeRun& run) {
  std::cout << data::formatted(
      "%lld requests (%lld of them again, %lld told to slow down), %lld answers from the cache, "
      "%lld unusable, %lld tokens, %lld pauses, %lld images unreadable\n",
      static_cast<long long>(counts.requests), static_cast<long long>(counts.retries),
      static_cast<long long>(counts.rate_limited), static_cast<long long>(counts.cached),
      static_cast<long long>(counts.unusable), static_cast<long long>(counts.tokens),
      static_cast<long long>(counts.pauses), static_cast<long long>(run.unreadable));
}

JudgeCommand parsed(JudgeCommand s, const std::vector<std::string>& positional) {
  if (positional.empty())
    throw BadInput("laurel judge: expected images, folders or patterns, found none");
  if (s.output.empty())
    throw BadInput("laurel judge: --output: expected a file for the judgements, found none");
  if (s.axes.empty())
    s.axes = s.mode == "pair" ? std::vector<std::string>{"overall"}
                              : std::vector<std::string>{"alignment", "quality"};
  if (s.cache.empty()) s.cache = s.output + ".cache";
  s.sources = {s.prompt, s.prompts};
  return s;
}

// The named images and their prompts.
struct ImagesWithPrompts {
  std::vector<fs::path> files;
  std::vector<std::string> prompts;
};
ImagesWithPrompts material_of(const JudgeCommand& s, const std::vector<std::string>& words) {
  ImagesWithPrompts material{
      .files =
          data::list_images(words, s.recursive ? data::Folders::kRecursive : data::Folders::kFlat),
      .prompts = {}};
  const auto captions = prompts_of_images(material.files, s.sources);
  for (size_t i = 0; i < captions.size(); ++i) {
    if (!captions[i].fault.empty()) throw BadInput(captions[i].fault);
    if (captions[i].text.empty())
      throw BadInput(material.files[i].string() + ": expected a prompt, found none; give --prompt");
    material.prompts.push_back(captions[i].text);
  }
  return material;
}

int run_judge(const JudgeCommand& s,
              const ImagesWithPrompts& material,
              const std::vector<JudgeItem>& items) {
  std::vector<rewards::JudgeAxis> axes;
  for (const auto& axis : s.axes) axes.push_back(rewards::judge_axis(axis));
  const ChatServer server = open_chat_server(s.server, "the images are");
  const std::string model = model_of(s.server, server);
  const auto output_lock = data::FolderLock::of_file(s.output);
  data::drop_cut_line(s.output);
  data::drop_cut_line(s.cache);
  rewards::JudgeCache cache(s.cache);
  Progress progress("Judging", static_cast<int64_t>(items.size()),
                    s.mode == "pair" ? "order" : "img");
  std::mutex mutex;  // of the output and the progress
  rewards::JudgeClient client([&](const std::string& body) { return post_chat(server, body); },
                              s.policy, rewards::real_clock(), cache,
                              [&](const std::string& line) {
                                const std::lock_guard lock(mutex);
                                progress.print(line);
                              });
  JudgeRun run{.s = s,
               .files = material.files,
               .axes = axes,
               .sampling = {.model = model, .seed = s.seed},
               .client = client,
               .done = ids_in(s.output),
               .mutex = mutex};
  const std::string stopped = ask_all(run, items, progress);
  report(client.counts(), run);
  if (!stopped.empty()) throw BadInput("laurel judge: " + stopped);
  if (run.usable == 0) throw BadInput("laurel judge: no answer was usable; see " + s.output);
  return run.unreadable > 0 ? 2 : 0;
}

int judge_command(const std::vector<std::string>& arguments) {
  JudgeCommand s;
  Options options("judge", "Asks a vision-language server about images; writes its judgements.",
                  "IMAGES...");
  declare(options, s);
  const auto given = options.parse(arguments);
  if (!given.proceed) return 0;
  s = parsed(s, given.positional);
  const ImagesWithPrompts material = material_of(s, given.positional);
  return run_judge(
      s, material,
      s.mode == "pair" ? pair_items(material.prompts, s) : point_items(material.prompts));
}

}  // namespace

const Command kJudge{"judge", "ask a vision-language server about images", judge_command};

}  // namespace tools
