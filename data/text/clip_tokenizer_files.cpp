#include "data/text/clip_tokenizer_files.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "data/base/numbers.hpp"

namespace fs = std::filesystem;
using nlohmann::json;
using nlohmann::ordered_json;

namespace data {
namespace {

constexpr int64_t kClipLength = 77;  // where the files name no sensible length
constexpr double kNoLimit = 1e6;     // transformers writes 1e30 for "no limit"

void read_vocab(const fs::path& path, const json& vocab, Tokenizer& tokenizer) {
  if (!vocab.is_object())
    throw BadInput(path.string() +
                   ": expected an object of symbols and ids; is this a tokenizer's vocabulary?");
  for (const auto& [symbol, id] : vocab.items()) {
    if (!id.is_number_integer())
      throw BadInput(path.string() + ": symbol '" + symbol + "': expected a whole number, found " +
                     to_text(id));
    tokenizer.vocab[symbol] = id.get<int64_t>();
  }
  std::vector<bool> taken(tokenizer.vocab.size());
  for (const auto& [symbol, id] : tokenizer.vocab) {
    if (id >= 0 && id < static_cast<int64_t>(taken.size()) && !taken[static_cast<size_t>(id)]) {
      taken[static_cast<size_t>(id)] = true;
      continue;
    }
    throw BadInput(path.string() + ": symbol '" + symbol + "': expected ids from 0 to " +
                   std::to_string(taken.size() - 1) + ", each once, found " + std::to_string(id));
  }
}

void add_merge(const fs::path& path, const std::string& pair, Tokenizer& tokenizer) {
  const size_t space = pair.find(' ');
  const bool known = space != std::string::npos &&
                     tokenizer.vocab.count(pair.substr(0, space) + pair.substr(space + 1));
  if (!known) {
    throw BadInput(path.string() + ": merge '" + pair +
                   "': expected two symbols that make one of the vocabulary; " +
                   "vocabulary and merges do not belong together");
  }
  if (tokenizer.merges.size() > tokenizer.vocab.size())
    throw BadInput(path.string() + ": expected fewer merges than symbols of the vocabulary, " +
                   "found more; vocabulary and merges do not belong together");
  tokenizer.ranks.emplace(pair, static_cast<int64_t>(tokenizer.merges.size()));
  tokenizer.merges.push_back(pair);
}

int64_t id_in(const std::string& where, const json& value) {
  constexpr int64_t kLargestId = 1 << 30;
  if (!value.is_number_integer() || value < 0 || value > kLargestId)
    throw BadInput(where + ": an added token: expected an id, found " + to_text(value));
  return value.get<int64_t>();
}

// The id that the key of an added token is.
int64_t id_of_key(const std::string& where, const std::string& key) {
  const auto id = number_of<int64_t>(key);
  if (!id || *id < 0)
    throw BadInput(where + ": added_tokens_decoder: expected ids, found '" + key + "'");
  return *id;
}

void read_merges_txt(const fs::path& path, Tokenizer& tokenizer) {
  std::istringstream lines(read_file(path));
  for (std::string line; std::getline(lines, line);) {
    if (line.ends_with('\r')) line.pop_back();
    if (line.empty() || line.starts_with("#version")) continue;
    add_merge(path, line, tokenizer);
  }
}

// The kinds of the steps in a part of tokenizer.json, "Sequence" unfolded: "NFC Replace Lowercase".
std::string steps_of(const json& part, const char* list) {
  if (!part.is_object()) return "";
  std::string kinds;
  const json alone = json::array({part});
  const auto found = part.find(list);
  for (const auto& step : found == part.end() ? alone : *found)
    kinds += (kinds.empty() ? "" : " ") + step.value("type", std::string("?"));
  return kinds;
}

// tokenizer.json holds any of the tokenizers library's kinds; CLIP's alone gives CLIP's ids.
void check_kind(const std::string& where, const json& file, const json& model) {
  const auto refuse = [&](const std::string& what) {
    throw BadInput(where + ": expected CLIP's byte-level BPE, found " + what +
                   "; is this the folder of another text encoder?");
  };
  const std::string type = model.value("type", std::string("BPE"));
  if (type != "BPE") refuse("a " + type + " model");
  const json ending = model.value("end_of_word_suffix", json("</w>"));
  if (ending != "</w>") refuse("a BPE model with end_of_word_suffix " + to_text(ending));
  const std::string normalizer = steps_of(file.value("normalizer", json()), "normalizers");
  if (!normalizer.empty() && normalizer.find("Lowercase") == std::string::npos)
    refuse("the normalizer " + normalizer + " without Lowercase");
  const std::string cutter = steps_of(file.value("pre_tokenizer", json()), "pretokenizers");
  if (!cutter.empty() && cutter.find("ByteLevel") == std::string::npos)
    refuse("the pre_tokenizer " + cutter + " without ByteLevel");
}

// {"content": .., "normalized": .., ...} or the content alone
AddedToken read_added(const std::string& where, const json& value, int64_t id) {
  AddedToken token;
  token.id = id;
  token.content =
      value.is_object() ? value.value("content", std::string()) : value.get<std::string>();
  if (token.content.empty())
    throw BadInput(where + ": an added token: expected its content, found " + to_text(value));
  if (value.is_object() && value.value("single_word", false))
    throw BadInput(where + ": added token '" + token.content +
                   "': single_word is not supported; set it to false");
  token.normalized = value.is_object() && value.value("normalized", true);
  return token;
}

// tokenizer.json, which newer versions of transformers write instead of vocab.json and merges.txt.
void read_tokenizer_json(const fs::path& path, Tokenizer& tokenizer) {
  const json file = read_json_object(path);
  const json model = file.value("model", json::object());
  check_kind(path.string(), file, model);
  read_vocab(path, model.value("vocab", json()), tokenizer);
  const json merges = model.value("merges", json::array());
  for (const auto& merge : merges) {
    add_merge(path,
              merge.is_array()
                  ? merge.at(0).get<std::string>() + " " + merge.at(1).get<std::string>()
                  : merge.get<std::string>(),
              tokenizer);
  }
  const json added = file.value("added_tokens", json::array());
  for (const auto& token : added)
    tokenizer.added.push_back(
        read_added(path.string(), token, id_in(path.string(), token.at("id"))));
}

// Settings as transformers takes them: special_tokens_map.json over tokenizer_config.json, but
// added_tokens_decoder of the latter, where it is there, in place of the former and of every other
// list of added tokens.
json read_settings(const fs::path& folder, Tokenizer& tokenizer) {
  const fs::path config_path = folder / "tokenizer_config.json";
  json settings = fs::exists(config_path) ? read_json_object(config_path) : json::object();
  if (settings.contains("added_tokens_decoder")) {
    tokenizer.added.clear();
    for (const auto& [id, token] : settings.at("added_tokens_decoder").items())
      tokenizer.added.push_back(
          read_added(config_path.string(), token, id_of_key(config_path.string(), id)));
    return settings;
  }
  if (const fs::path map = folder / "special_tokens_map.json"; fs::exists(map))
    settings.update(read_json_object(map));
  const fs::path list = folder / "added_tokens.json";
  if (!fs::exists(list)) return settings;
  std::set<std::string> special;
  for (const char* key : {"bos_token", "eos_token", "unk_token", "pad_token"}) {
    const json value = settings.value(key, json());
    if (!value.is_null()) special.insert(read_added(list.string(), value, 0).content);
  }
  const json ids = read_json_object(list);
  for (const auto& [content, id] : ids.items())
    tokenizer.added.push_back({.content = content,
                               .id = id_in(list.string(), id),
                               .normalized = !special.count(content)});
  return settings;
}

void read_length(const std::string& where, const json& settings, Tokenizer& tokenizer) {
  const json length = settings.value("model_max_length", json());
  if (!length.is_number()) return;
  const double most = length.get<double>();
  tokenizer.max_length = most > kNoLimit ? kClipLength : static_cast<int64_t>(std::max(most, 0.0));
  if (tokenizer.max_length < 3)
    throw BadInput(where + ": model_max_length: expected at least 3, found " + to_text(length));
}

int64_t id_of(const fs::path& folder, const Tokenizer& tokenizer, const std::string& special) {
  for (const auto& token : tokenizer.added) {
    if (token.content == special) return token.id;
  }
  const auto found = tokenizer.vocab.find(special);
  if (found == tokenizer.vocab.end()) {
    throw BadInput(folder.string() + ": special token '" + special +
                   "' is not in the vocabulary; " +
                   "tokenizer_config.json and vocab.json do not belong together");
  }
  return found->second;
}

// The special tokens are added ones. One that no list of added tokens holds is normalised as the
// settings say, the last of them where several name the same.
void add_specials(const fs::path& folder, const json& settings, Tokenizer& tokenizer) {
  std::vector<AddedToken> fresh;
  const auto add = [&](const char* key, std::string& name, int64_t& id) {
    json value = settings.value(key, json());
    if (!value.is_string() && !value.is_object()) value = name;
    AddedToken token = read_added(folder.string() + ": " + key, value, 0);
    name = token.content;
    id = token.id = id_of(folder, tokenizer, name);
    std::erase_if(fresh, [&](const AddedToken& other) { return other.content == name; });
    fresh.push_back(token);
  };
  std::string unknown = tokenizer.eos_token;
  int64_t unknown_id = 0;
  add("bos_token", tokenizer.bos_token, tokenizer.bos);
  add("eos_token", tokenizer.eos_token, tokenizer.eos);
  add("unk_token", unknown, unknown_id);
  add("pad_token", tokenizer.pad_token, tokenizer.pad);
  for (const auto& token : fresh) {
    const auto& known = tokenizer.added;
    const bool listed = std::any_of(known.begin(), known.end(), [&](const AddedToken& other) {
      return other.content == token.content;
    });
    if (!listed) tokenizer.added.push_back(token);
  }
}

// A special token for the settings: its content, or its fields where it is normalised.
ordered_json written(const Tokenizer& tokenizer, const std::string& content) {
  for (const auto& token : tokenizer.added) {
    if (token.content != content || !token.normalized) continue;
    return {{"content", content},
            {"lstrip", false},
            {"normalized", true},
            {"rstrip", false},
            {"single_word", false}};
  }
  return content;
}

}  // namespace

Tokenizer load_tokenizer(const fs::path& folder) {
  Tokenizer tokenizer;
  const bool fast = !fs::exists(folder / "vocab.json") && fs::exists(folder / "tokenizer.json");
  try {
    if (fast) {
      read_tokenizer_json(folder / "tokenizer.json", tokenizer);
    } else {
      read_vocab(folder / "vocab.json", read_json(folder / "vocab.json"), tokenizer);
      read_merges_txt(folder / "merges.txt", tokenizer);
    }
    const json settings = read_settings(folder, tokenizer);
    read_length((folder / "tokenizer_config.json").string(), settings, tokenizer);
    add_specials(folder, settings, tokenizer);
  } catch (const BadInput&) {
    throw;
  } catch (const json::exception&) {  // a list where an object should stand
    throw BadInput(folder.string() + ": expected the files of a CLIP tokenizer, found a value of " +
                   "another kind in one of them");
  }
  return tokenizer;
}

void save_tokenizer(const fs::path& folder, const Tokenizer& tokenizer) {
  std::vector<std::string> symbols(tokenizer.vocab.size());
  for (const auto& [symbol, id] : tokenizer.vocab) symbols.at(static_cast<size_t>(id)) = symbol;
  ordered_json vocab = ordered_json::object();
  for (size_t id = 0; id < symbols.size(); ++id) vocab[symbols[id]] = id;
  write_file(folder / "vocab.json", to_text(vocab) + "\n");
  std::string merges = "#version: 0.2\n";
  for (const auto& merge : tokenizer.merges) merges += merge + "\n";
  write_file(folder / "merges.txt", merges);
  ordered_json config{{"tokenizer_class", "CLIPTokenizer"},
                      {"model_max_length", tokenizer.max_length},
                      {"add_prefix_space", false},
                      {"do_lower_case", true},
                      {"errors", "replace"}};
  ordered_json map = ordered_json::object();
  const auto name = [&](const char* key, const std::string& content) {
    ordered_json value = written(tokenizer, content);
    map[key] = value;
    if (value.is_object()) value["__type"] = "AddedToken";
    config[key] = value;
  };
  name("bos_token", tokenizer.bos_token);
  name("eos_token", tokenizer.eos_token);
  name("unk_token", tokenizer.eos_token);
  name("pad_token", tokenizer.pad_token);
  write_file(folder / "special_tokens_map.json", to_text(map, 2) + "\n");
  write_file(folder / "tokenizer_config.json", to_text(config, 2) + "\n");
  ordered_json list = ordered_json::object();
  for (const auto& token : tokenizer.added) {
    if (token.id >= static_cast<int64_t>(symbols.size())) list[token.content] = token.id;
  }
  if (!list.empty()) write_file(folder / "added_tokens.json", to_text(list, 2) + "\n");
}

}  // namespace data
