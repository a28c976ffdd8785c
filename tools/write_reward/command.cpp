// `laurel write-reward`: a language model writes a formula for a wish.

#include "tools/write_reward/command.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>

#include "data/base/error.hpp"
#include "data/base/format.hpp"
#include "data/base/log.hpp"
#include "data/base/strings.hpp"
#include "data/images/image_files.hpp"
#include "data/storage/folder_lock.hpp"
#include "rewards/loader/reward_spec.hpp"
#include "rewards/registry/registry.hpp"
#include "tools/cli/device.hpp"
#include "tools/cli/reward_options.hpp"
#include "tools/cli/shell_word.hpp"
#include "tools/judge/chat_server.hpp"
#include "tools/write_reward/contact_sheet.hpp"
#include "tools/write_reward/instruction.hpp"
#include "tools/write_reward/writer.hpp"

using data::BadInput;
namespace fs = std::filesystem;

namespace tools {
namespace {

struct WriteRewardConfig {
  ChatServerConfig server;
  std::string name = "written", output = "write-reward.jsonl", sheet;
  std::vector<std::string> feedback;
  int64_t tries = 5, max_pictures = 200, seed = 0, batch_size = 16;
  bool recursive = false;
  RewardSourceConfig sources;
  DeviceConfig device;
};

void declare(Options& options, WriteRewardConfig& s) {
  declare_chat_server(options, s.server);
  options.text("name", s.name, "of the reward");
  options.text("output", s.output, "transcript, JSONL; an existing one is continued by --feedback");
  options.short_name("output", 'o');
  options.text("sheet", s.sheet, "PNG of the five best and five worst pictures [beside OUTPUT]");
  options.integer("tries", s.tries, "answers of the server, at most", 1, 100);
  options.list("feedback", s.feedback,
               "\"3 is better than 7\" (numbers of the sheet), or a sentence; several");
  options.integer("max_pictures", s.max_pictures, "spread over the names of all", 2, 100000);
  options.flag("recursive", s.recursive, "of a folder, also the images of folders inside it");
  options.rare().integer("seed", s.seed, "of the server's sampling", 0);
  declare_chat_timeout(options, s.server);
  declare_chat_access(options, s.server, "the wish and measured figures leave");
  options.group("models and machine");
  declare_reward_sources(options, s.sources, Rarity::kRare);
  options.rare().integer("batch_size", s.batch_size, "images at once", 1, 4096);
  declare_device(options, s.device, Rarity::kRare);
}

// At most `most` of the files, at equal distances.
std::vector<fs::path> spread(const std::vector<fs::path>& files, size_t most) {
  std::vector<fs::path> kept;
  const size_t count = std::min(most, files.size());
  for (size_t i = 0; i < count; ++i) kept.push_back(files[i * files.size() / count]);
  return kept;
}

struct SortedFeedback {
  std::vector<PreferredPicture> pairs;
  std::vector<std::string> sentences;
};
void sort_in(SortedFeedback& feedback, const std::string& text, int64_t pictures) {
  if (const auto pair = preference_in(text, pictures))
    feedback.pairs.push_back(*pair);
  else if (!data::trimmed(text).empty())
    feedback.sentences.push_back(data::trimmed(text));
}

std::string said(const SortedFeedback& feedback, PictureFacts& pictures) {
  std::string text;
  for (const auto& sentence : feedback.sentences) text += "The person says: " + sentence + "\n";
  for (const auto& pair : feedback.pairs) {
    text +=
        data::formatted("The person says that picture %lld is better than picture %lld.\n",
                        static_cast<long long>(pair.better), static_cast<long long>(pair.worse));
    text += facts_of_pair(pictures, pair);
  }
  return text;
}

// Begins the conversation, or goes on with it. Throws BadInput for one about something else, and
// for one that is at its end, where there is no feedback.
void open_conversation(Conversation& conversation,
                       const std::string& file,
                       const std::string& wish,
                       const SortedFeedback& feedback,
                       PictureFacts& pictures) {
  const std::string told = said(feedback, pictures), instruction = writing_instruction(pictures);
  const auto& messages = conversation.messages();
  if (messages.empty()) {
    conversation.add("system", instruction);
    return conversation.add("user", "Wish: " + wish + "\n" + told);
  }
  if (messages.size() < 2 || messages[0].content != instruction ||
      !messages[1].content.starts_with("Wish: " + wish + "\n"))
    throw BadInput("--output " + file +
                   ": expected a conversation about this wish and these pictures, found another; "
                   "name a new file");
  if (!told.empty()) return conversation.add("user", told);
  if (messages.back().role != "user")
    throw BadInput("--output " + file +
                   ": expected a new file, found a conversation that is at its end; say --feedback "
                   "to go on with it, or name another");
}

// What a person at the terminal says of a formula; "": nothing, or there is none.
std::string ask_person(std::vector<PreferredPicture>& pairs, int64_t pictures) {
  if (::isatty(STDIN_FILENO) != 1 || ::isatty(STDERR_FILENO) != 1) return "";
  SortedFeedback feedback;
  std::cerr << "\"3 is better than 7\", a sentence, or nothing to keep it: " << std::flush;
  for (std::string line; std::getline(std::cin, line);) {
    try {
      sort_in(feedback, line, pictures);
      break;
    } catch (const BadInput& fault) {
      std::cerr << fault.what() << "\nagain: " << std::flush;
    }
  }
  pairs.insert(pairs.end(), feedback.pairs.begin(), feedback.pairs.end());
  return feedback.sentences.empty() ? "" : "The person says: " + feedback.sentences[0] + "\n";
}

WrittenReward converse(const WriteRewardConfig& s,
                       const std::string& wish,
                       PictureFacts& pictures,
                       const fs::path& sheet) {
  const auto count = static_cast<int64_t>(pictures.files().size());
  SortedFeedback feedback;
  for (const auto& text : s.feedback) sort_in(feedback, text, count);
  const ChatServer server = open_chat_server(s.server, "the wish and measured figures are");
  const std::string model = model_of(s.server, server);
  Conversation conversation(s.output);
  open_conversation(conversation, s.output, wish, feedback, pictures);
  rewards::ChatPartner partner{
      .transport = [&](const std::string& body) { return post_chat(server, body); },
      .clock = rewards::real_clock(),
      .say = data::log_info};
  const WriterHooks hooks{
      .ask =
          [&](const auto& messages) {
            return rewards::chat_answer(partner, rewards::chat_request(messages, model, s.seed));
          },
      .show =
          [&](const WrittenFormula& written, std::vector<PreferredPicture>& pairs) {
            write_contact_sheet(sheet, pictures.files(), written.values);
            data::log_info(written.formula + "   (" + written.sentence + ")");
            data::log_info("the best and the worst: " + sheet.string());
            return ask_person(pairs, count);
          }};
  try {
    return write_reward(conversation, pictures, feedback.pairs, s.tries, hooks);
  } catch (const rewards::JudgeStopped& stopped) {
    throw BadInput("laurel write-reward: " + std::string(stopped.what()));
  }
}

void report(const WriteRewardConfig& s, const WrittenReward& result) {
  const WrittenFormula& best = *result.best;
  std::cout << best.sentence << "\n"
            << (result.tries == 1 ? "1 try" : std::to_string(result.tries) + " tries");
  if (!s.feedback.empty())
    std::cout << data::formatted(", pairs right: %.0f %%", 100 * best.accuracy);
  std::cout << "\n--define " << shell_word(s.name + "=" + best.formula) << " --reward " << s.name
            << "\n";
}

void check_request(const WriteRewardConfig& s, const std::vector<std::string>& words) {
  if (words.size() < 2 || data::trimmed(words[0]).empty())
    throw BadInput(
        "laurel write-reward: expected a wish and pictures, as in laurel write-reward \"calm, dark "
        "pictures\" images/, found " +
        std::to_string(words.size()) + " words");
  // As a definition is read, so that what is printed at the end is one.
  rewards::parse_reward_spec(s.name + "=brightness", rewards::reward_families());
}

int write_reward_command(const std::vector<std::string>& arguments) {
  WriteRewardConfig s;
  Options options("write-reward",
                  "A language model writes a reward, a formula over measured facts, for a wish.",
                  "\"WISH\" IMAGES...");
  declare(options, s);
  const auto parsed = options.parse(arguments);
  if (!parsed.proceed) return 0;
  check_request(s, parsed.positional);
  const at::NoGradGuard no_grad;
  const Placement placement = open_device(s.device);
  const PrecisionScope precision(placement);
  const auto lock = data::FolderLock::of_file(s.output);
  const auto files = data::list_images(
      std::vector<std::string>(parsed.positional.begin() + 1, parsed.positional.end()),
      s.recursive ? data::Folders::kRecursive : data::Folders::kFlat);
  PictureFacts pictures(spread(files, static_cast<size_t>(s.max_pictures)),
                        reward_sources(s.sources, placement.device),
                        {.batch_size = s.batch_size, .device = placement.device});
  const fs::path sheet =
      s.sheet.empty() ? fs::path(s.output).replace_extension(".png") : fs::path(s.sheet);
  const WrittenReward result = converse(s, parsed.positional[0], pictures, sheet);
  if (!result.best)
    throw BadInput("laurel write-reward: expected a usable formula in " +
                   std::to_string(result.tries) + " tries, found none (the last: " + result.fault +
                   "); " + s.output + " has the conversation");
  report(s, result);
  return 0;
}

}  // namespace

const Command kWriteReward{"write-reward", "a language model writes a reward for a wish",
                           write_reward_command};

}  // namespace tools
