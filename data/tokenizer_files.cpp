// Reading and writing a tokenizer's folder as Hugging Face lays it out.

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>

#include "data/error.hpp"
#include "data/files.hpp"
#include "data/json.hpp"
#include "data/tokenizer.hpp"

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
  tokenizer.ranks.emplace(pair, static_cast<int64_t>(tokenizer.merges.size()));
  tokenizer.merges.push_back(pair);
}

void read_merges_txt(const fs::path& path, Tokenizer& tokenizer) {
  std::istringstream lines(read_file(path));
  for (std::string line; std::getline(lines, line);) {
    if (line.ends_with('\r')) line.pop_back();
    if (line.empty() || line.starts_with("#version")) continue;
    add_merge(path, line, tokenizer);
  }
}

// tokenizer.json, which newer versions of transformers write instead of vocab.json and merges.txt.
void read_tokenizer_json(const fs::path& path, Tokenizer& tokenizer) {
  const json model = read_json_object(path).value("model", json::object());
  if (model.value("type", "BPE") != "BPE")
    throw BadInput(path.string() + ": expected a BPE model, found " + model.value("type", ""));
  read_vocab(path, model.value("vocab", json()), tokenizer);
  for (const auto& merge : model.value("merges", json::array())) {
    add_merge(path,
              merge.is_array()
                  ? merge.at(0).get<std::string>() + " " + merge.at(1).get<std::string>()
                  : merge.get<std::string>(),
              tokenizer);
  }
}

void read_special(const json& file, const char* key, std::string& target) {
  const json value = file.value(key, json());
  if (value.is_string()) target = value.get<std::string>();
  if (value.is_object() && value.value("content", json()).is_string())
    target = value.at("content").get<std::string>();
}

void read_settings(const fs::path& path, Tokenizer& tokenizer) {
  if (!fs::exists(path)) return;
  const json file = read_json_object(path);
  read_special(file, "bos_token", tokenizer.bos_token);
  read_special(file, "eos_token", tokenizer.eos_token);
  read_special(file, "pad_token", tokenizer.pad_token);
  const json length = file.value("model_max_length", json());
  if (!length.is_number()) return;
  tokenizer.max_length = length.get<double>() > kNoLimit ? kClipLength : length.get<int64_t>();
  if (tokenizer.max_length < 3)
    throw BadInput(path.string() + ": model_max_length: expected at least 3, found " +
                   to_text(length));
}

int64_t id_of(const fs::path& folder, const Tokenizer& tokenizer, const std::string& special) {
  const auto found = tokenizer.vocab.find(special);
  if (found == tokenizer.vocab.end()) {
    throw BadInput(folder.string() + ": special token '" + special +
                   "' is not in the vocabulary; " +
                   "tokenizer_config.json and vocab.json do not belong together");
  }
  return found->second;
}

}  // namespace

Tokenizer load_tokenizer(const fs::path& folder) {
  Tokenizer tokenizer;
  if (fs::exists(folder / "vocab.json") || !fs::exists(folder / "tokenizer.json")) {
    read_vocab(folder / "vocab.json", read_json(folder / "vocab.json"), tokenizer);
    read_merges_txt(folder / "merges.txt", tokenizer);
  } else {
    read_tokenizer_json(folder / "tokenizer.json", tokenizer);
  }
  read_settings(folder / "special_tokens_map.json", tokenizer);
  read_settings(folder / "tokenizer_config.json", tokenizer);
  tokenizer.bos = id_of(folder, tokenizer, tokenizer.bos_token);
  tokenizer.eos = id_of(folder, tokenizer, tokenizer.eos_token);
  tokenizer.pad = id_of(folder, tokenizer, tokenizer.pad_token);
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
  const ordered_json special{{"bos_token", tokenizer.bos_token},
                             {"eos_token", tokenizer.eos_token},
                             {"pad_token", tokenizer.pad_token},
                             {"unk_token", tokenizer.eos_token}};
  write_file(folder / "special_tokens_map.json", to_text(special, 2) + "\n");
  ordered_json config{{"tokenizer_class", "CLIPTokenizer"},
                      {"model_max_length", tokenizer.max_length},
                      {"add_prefix_space", false},
                      {"do_lower_case", true},
                      {"errors", "replace"}};
  config.update(special);
  write_file(folder / "tokenizer_config.json", to_text(config, 2) + "\n");
}

}  // namespace data
