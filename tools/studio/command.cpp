// `laurel vote` and `laurel studio`.

#include "tools/studio/command.hpp"

#include <filesystem>
#include <iostream>
#include <optional>

#include "data/base/error.hpp"
#include "data/base/log.hpp"
#include "data/unicode/utf8.hpp"
#include "tools/cli/failure.hpp"
#include "tools/cli/options.hpp"
#include "tools/studio/serving.hpp"
#include "tools/studio/store/check.hpp"
#include "tools/studio/store/schema.hpp"
#include "tools/studio/voting/exchange.hpp"

namespace fs = std::filesystem;

namespace tools {
namespace {

struct StudioCommand {
  studio::ServingConfig serving;
  bool names = false;
  std::string check, backup, export_to, export_form = "laurel", import_from, person = "imported";
};

void declare(Options& options, StudioCommand& command) {
  studio::ServingConfig& config = command.serving;
  options.text("store", config.store, "file of pictures and answers; made when it is missing");
  options.integer("port", config.port, "port of the page; 0: any free one", 0, 65535);
  options.text("listen", config.listen,
               "address for other devices, 0.0.0.0: all of this machine's; default: this machine");
  options.flag("recursive", config.recursive, "also the images of folders inside folders");
  options.group("answers as files");
  options.text("export", command.export_to, "write the answers to this file or folder, and end");
  std::vector<std::string> forms;
  for (const auto& form : studio::export_forms()) forms.emplace_back(form.name);
  options.choice("export_form", command.export_form, forms, "of what --export writes");
  options.flag("names", command.names, "export people's names, not their digests");
  options.text("import", command.import_from, "add the choices of this file or folder, and end");
  options.text("person", command.person, "whose the imported choices are that name nobody");
  options.text("backup", command.backup, "copy the store to this new file, and end");
  options.text("check", command.check, "say what is in this store and what is wrong, and end");
  options.group("what is learnt beside the voting");
  options.flag("no_learning", config.no_learning, "draw all pairs at random");
  studio::declare_look(options, config.look);
  options.rare().integer("seed", config.seed, "seed of the drawn pairs; 0: another each time", 0);
}

int check_store(const fs::path& file) {
  auto store = studio::read_store(file);
  const studio::StoreCheck found = studio::check_store(store);
  std::cout << file.string() << ": " << found.summary << "\n";
  for (const auto& fault : found.faults) std::cout << "  " << data::printable(fault) << "\n";
  std::cout << (found.faults.empty() ? "no fault found\n" : "");
  return found.faults.empty() ? 0 : kBadInput;
}

int back_up(const StudioCommand& command) {
  auto store = studio::read_store(command.serving.store);
  data::back_up(store, command.backup);
  std::cout << "wrote " << command.backup << "\n";
  return 0;
}

int write_votes(const StudioCommand& command) {
  auto store = studio::read_store(command.serving.store);
  const auto done = studio::export_votes(store, command.export_to,
                                         {.form = command.export_form, .names = command.names});
  std::cout << "wrote " << done.learn << " answers to " << command.export_to;
  if (done.held_out > 0)
    std::cout << ", and " << done.held_out << " that only measure to "
              << done.held_out_place.string();
  std::cout << "\n";
  return 0;
}

int read_votes(const StudioCommand& command) {
  auto store = studio::open_store(command.serving.store);
  const auto done = studio::import_choices(store.database, command.import_from, command.person);
  for (const auto& line : done.left_out) data::log_error("left out: " + data::printable(line));
  std::cout << "added " << done.pairs << " answers to " << command.serving.store << "\n";
  return done.left_out.empty() ? 0 : kBadInput;
}

// What ends at once: files of answers, copies, checks. None: the page is to be served.
std::optional<int> file_work(const StudioCommand& command) {
  if (!command.check.empty()) return check_store(command.check);
  if (!command.backup.empty()) return back_up(command);
  if (!command.import_from.empty()) return read_votes(command);
  if (!command.export_to.empty()) return write_votes(command);
  return std::nullopt;
}

int vote_command(const std::vector<std::string>& arguments) {
  StudioCommand command;
  Options options("vote",
                  "Serves a page on this machine on which people choose between two pictures.",
                  "[RUN_OR_FOLDER...]");
  declare(options, command);
  const auto parsed = options.parse(arguments);
  if (!parsed.proceed) return 0;
  if (const auto done = file_work(command)) return *done;
  return studio::serve(command.serving, parsed.positional, std::nullopt);
}

int studio_command(const std::vector<std::string>& arguments) {
  StudioCommand command;
  studio::WorkSettings work;
  std::string folder;
  Options options("studio",
                  "Serves a page: choose between pictures, learn a reward, train a model on it, "
                  "compare blindly.",
                  "[RUN_OR_FOLDER...]");
  declare(options, command);
  options.group("training");
  options.text("model", work.model, "checkpoint to train; default: the embedded model");
  options.short_name("model", 'm');
  options.text("prompts", work.prompts, "prompt file to train on; `world`: the built-in captions");
  options.text("watch", work.watch, "rewards that are watched; auto: the oracle of the world");
  options.text("finetune_config", work.config,
               "TOML file with further options of finetune, or a folder with METHOD.toml");
  options.text("work", folder, "folder for all that jobs write [STORE.work]");
  const auto parsed = options.parse(arguments);
  if (!parsed.proceed) return 0;
  if (const auto done = file_work(command)) return *done;
  work.folder = fs::absolute(folder.empty() ? command.serving.store + ".work" : folder);
  return studio::serve(command.serving, parsed.positional, work);
}

}  // namespace

const Command kVote{"vote", "choose between pictures on a local page", vote_command};
const Command kStudio{"studio", "vote, learn the taste, train on it and prove it, on a local page",
                      studio_command};

}  // namespace tools
