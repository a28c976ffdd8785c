#include "tools/studio/store/images.hpp"

#include <sys/stat.h>

#include <unordered_map>

#include "data/base/error.hpp"
#include "data/storage/sha256.hpp"

namespace fs = std::filesystem;

namespace studio {
namespace {

// Relative to the store, so that both can move together.
fs::path stored_path(const data::Database& store, const fs::path& file) {
  const fs::path whole = fs::weakly_canonical(fs::absolute(file));
  const fs::path folder = fs::weakly_canonical(fs::absolute(store.file())).parent_path();
  const fs::path relative = whole.lexically_relative(folder);
  return relative.empty() ? whole : relative;
}

struct FileState {
  int64_t bytes = -1, changed = 0;  // nanoseconds since 1970
};

FileState state_of(const fs::path& file) {
  struct stat found {};
  if (stat(file.c_str(), &found) != 0 || !S_ISREG(found.st_mode))
    throw data::BadInput(file.string() + ": cannot be read");
  return {found.st_size, found.st_mtim.tv_sec * int64_t{1000000000} + found.st_mtim.tv_nsec};
}

// Statements for many pictures.
class Recorder {
 public:
  explicit Recorder(data::Database& store)
      : store_(store),
        by_path_(store.prepare("SELECT sha256 FROM image WHERE path = ? AND bytes = ? AND "
                               "changed = ? LIMIT 1")),
        find_(store.prepare("SELECT id, path, bytes, changed FROM image WHERE sha256 = ? AND "
                            "prompt = ?")),
        add_(store.prepare("INSERT INTO image (sha256, prompt, picture_set, path, bytes, changed) "
                           "VALUES (?, ?, ?, ?, ?, ?)")),
        move_(store.prepare("UPDATE image SET path = ?, bytes = ?, changed = ? WHERE id = ?")) {}

  int64_t prompt(const std::string& text) {
    store_.prepare("INSERT INTO prompt (text) VALUES (?) ON CONFLICT DO NOTHING").bind(text).run();
    auto found = store_.prepare("SELECT id FROM prompt WHERE text = ?");
    found.bind(text).next();
    return found.integer(0);
  }

  int64_t set(const std::string& run, const std::string& name) {
    store_.prepare("INSERT INTO picture_set (run, name) VALUES (?, ?) ON CONFLICT DO NOTHING")
        .bind(run, name)
        .run();
    auto found = store_.prepare("SELECT id FROM picture_set WHERE run = ? AND name = ?");
    found.bind(run, name).next();
    return found.integer(0);
  }

  int64_t image(const fs::path& file, int64_t prompt, int64_t set) {
    const FileState state = state_of(file);
    const std::string path = stored_path(store_, file).string();
    by_path_.bind(path, state.bytes, state.changed);
    const bool known = by_path_.next();
    const std::string digest = known ? by_path_.text(0) : data::sha256_of_file(file);
    find_.bind(digest, prompt);
    if (!find_.next()) {
      add_.bind(digest, prompt, set, path, state.bytes, state.changed).run();
      return store_.last_row();
    }
    const int64_t id = find_.integer(0);
    if (find_.text(1) != path || find_.integer(2) != state.bytes ||
        find_.integer(3) != state.changed)
      move_.bind(path, state.bytes, state.changed, id).run();
    return id;
  }

 private:
  data::Database& store_;
  data::Statement by_path_, find_, add_, move_;
};

}  // namespace

std::vector<int64_t> record_images(data::Database& store,
                                   const gallery::Collection& pictures,
                                   std::vector<std::string>& faults,
                                   const std::function<void()>& seen) {
  data::Transaction transaction(store);
  Recorder recorder(store);
  std::vector<int64_t> sets, ids;
  for (const auto& set : pictures.sets)
    sets.push_back(recorder.set(pictures.runs[set.run].name, set.name));
  std::unordered_map<std::string, int64_t> prompts;
  for (const auto& image : pictures.images) {
    const std::string& text = image.record.prompt;
    const auto [place, fresh] = prompts.try_emplace(text, 0);
    if (fresh) place->second = recorder.prompt(text);
    try {
      ids.push_back(recorder.image(image.path, place->second, sets[image.set]));
    } catch (const data::BadInput& error) {
      faults.push_back(error.what());
      ids.push_back(0);
    }
    if (seen) seen();
  }
  transaction.commit();
  return ids;
}

int64_t record_image(data::Database& store, const fs::path& file, const std::string& prompt) {
  Recorder recorder(store);
  const std::string folder = fs::absolute(file).lexically_normal().parent_path().filename();
  return recorder.image(file, recorder.prompt(prompt), recorder.set(folder, folder));
}

std::vector<StoredImage> stored_images(data::Database& store) {
  const fs::path folder = fs::absolute(store.file()).parent_path();
  std::vector<StoredImage> images;
  auto rows = store.prepare(
      "SELECT image.id, path, prompt.text, run, name, sha256 FROM image JOIN prompt ON prompt.id = "
      "image.prompt JOIN picture_set ON picture_set.id = image.picture_set ORDER BY image.id");
  while (rows.next())
    images.push_back({.id = rows.integer(0),
                      .path = (folder / rows.text(1)).lexically_normal(),
                      .prompt = rows.text(2),
                      .run = rows.text(3),
                      .set = rows.text(4),
                      .sha256 = rows.text(5)});
  return images;
}

}  // namespace studio
