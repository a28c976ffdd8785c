#include "rewards/pairs/files.hpp"

#include <ATen/ATen.h>

#include <nlohmann/json.hpp>

#include "data/base/error.hpp"
#include "data/base/json.hpp"
#include "data/weights/safetensors.hpp"
#include "rewards/loader/members.hpp"

namespace fs = std::filesystem;

namespace rewards {
namespace {

constexpr double kSameClip = 0.99;  // cosine; the same CLIP in bf16 gives more than 0.999

std::vector<std::string> names(const nlohmann::json& object,
                               const char* key,
                               const std::string& source) {
  std::vector<std::string> all;
  const auto found = object.find(key);
  if (found == object.end() || !found->is_array())
    throw data::BadInput(source + ": metadata laurel.taste: expected a list '" + key + "'");
  for (const auto& name : *found) {
    if (!name.is_string())
      throw data::BadInput(source + ": metadata laurel.taste: " + key + ": expected names");
    all.push_back(name.get<std::string>());
  }
  return all;
}

double number(const nlohmann::json& object, const char* key, const std::string& source) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number())
    throw data::BadInput(source + ": metadata laurel.taste: expected a number '" + key + "'");
  return found->get<double>();
}

std::string member_prefix(size_t member) { return "members." + std::to_string(member) + "."; }

void add_weights(const Taste& taste, const std::string& prefix, data::Weights& file) {
  file.tensors[prefix + "weight"] = taste.weight.to(at::kFloat);
  file.tensors[prefix + "score_weight"] = taste.score_weight.to(at::kFloat);
  file.tensors[prefix + "bias"] = taste.bias.to(at::kFloat);
}

// rows: 1 + P; rewards: K
void take_weights(const data::Weights& weights,
                  const std::string& prefix,
                  int64_t rows,
                  int64_t rewards,
                  Taste& taste) {
  taste.weight = data::take(weights, prefix + "weight", {rows, -1});
  taste.score_weight = data::take(weights, prefix + "score_weight", {rows, rewards});
  taste.bias = data::take(weights, prefix + "bias", {rows});
}

// Throws BadInput for too many, and for a member of another width than the taste's.
std::vector<Taste> take_members(const data::Weights& weights, const Taste& taste) {
  const int64_t count = data::count_numbered(weights, "members.");
  if (count > kMostMembers)
    throw data::BadInput(weights.source + ": expected at most " + std::to_string(kMostMembers) +
                         " members, found " + std::to_string(count));
  std::vector<Taste> members(static_cast<size_t>(count));
  for (size_t m = 0; m < members.size(); ++m) {
    take_weights(weights, member_prefix(m), taste.weight.size(0), taste.score_weight.size(1),
                 members[m]);
    const int64_t width = members[m].weight.size(1), first = taste.weight.size(1);
    if (width != first)
      throw data::BadInput(weights.source + ": expected members for one CLIP, of width " +
                           std::to_string(first) + ", found member " + std::to_string(m + 1) +
                           " for width " + std::to_string(width));
  }
  return members;
}

}  // namespace

fs::path reward_file(const fs::path& path) {
  return fs::is_directory(path) ? path / kRewardFile : path;
}

void save_taste(const fs::path& folder, const Taste& taste) {
  const nlohmann::ordered_json described{{"people", taste.people},
                                         {"rewards", taste.rewards},
                                         {"tie", taste.tie},
                                         {"low", taste.low},
                                         {"high", taste.high}};
  data::Weights file{.tensors = {{"fingerprint", taste.fingerprint.to(at::kFloat)}},
                     .metadata = {{"format", "pt"},
                                  {"laurel.kind", kTasteKind},
                                  {"laurel.taste", data::to_text(described)}},
                     .source = ""};
  add_weights(taste, "", file);
  for (size_t m = 0; m < taste.members.size(); ++m)
    add_weights(taste.members[m], member_prefix(m), file);
  data::write_safetensors(folder / kRewardFile, file);
}

Taste take_taste(const data::Weights& weights) {
  const auto kind = weights.metadata.find("laurel.kind");
  const auto described = weights.metadata.find("laurel.taste");
  if (kind == weights.metadata.end() || kind->second != kTasteKind ||
      described == weights.metadata.end())
    throw data::BadInput(weights.source +
                         ": expected a reward by `laurel train-reward pairs`, found another file");
  const auto object = data::parse_json_object(described->second, weights.source);
  Taste taste;
  taste.people = names(object, "people", weights.source);
  taste.rewards = names(object, "rewards", weights.source);
  taste.tie = number(object, "tie", weights.source);
  taste.low = number(object, "low", weights.source);
  taste.high = number(object, "high", weights.source);
  if (!(taste.low < taste.high && taste.tie >= 0))
    throw data::BadInput(weights.source +
                         ": metadata laurel.taste: expected low below high and a tie of at least "
                         "0; train the reward again");
  const auto rows = static_cast<int64_t>(taste.people.size()) + 1;
  take_weights(weights, "", rows, static_cast<int64_t>(taste.rewards.size()), taste);
  taste.members = take_members(weights, taste);
  taste.fingerprint = data::take(weights, "fingerprint", {taste.weight.size(1)});
  return taste;
}

Taste load_taste(const fs::path& path) {
  return take_taste(data::read_safetensors(reward_file(path)));
}

at::Tensor clip_test_image() {
  constexpr int64_t kSide = 64;
  const at::Tensor ramp = at::linspace(0, 1, kSide, at::kFloat);
  const at::Tensor x = ramp.unsqueeze(0).expand({kSide, kSide}), y = x.t();
  return at::stack({x, y, (6 * x * y).frac()}).unsqueeze(0).contiguous();
}

void check_same_clip(const at::Tensor& fingerprint,
                     const at::Tensor& embedding,
                     const std::string& source) {
  const char* advice = "; name the CLIP that it was trained on (--clip, or ;clip=PATH)";
  const int64_t width = embedding.size(1);
  if (fingerprint.size(0) != width)
    throw data::BadInput(source + ": expected a CLIP of width " +
                         std::to_string(fingerprint.size(0)) + ", found one of width " +
                         std::to_string(width) + advice);
  const auto same = fingerprint.to(at::kCPU, at::kDouble)
                        .dot(embedding.detach()[0].to(at::kCPU, at::kDouble))
                        .item<double>();
  if (!(same > kSameClip))
    throw data::BadInput(source + ": was trained on another CLIP than this one" + advice);
}

}  // namespace rewards
