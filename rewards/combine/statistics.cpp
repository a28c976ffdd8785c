#include "rewards/combine/statistics.hpp"

#include <ATen/ATen.h>

#include <nlohmann/json.hpp>

#include "data/base/error.hpp"
#include "data/base/json.hpp"
#include "data/storage/sha256.hpp"

using data::BadInput;

namespace rewards {
namespace {

std::string digest_of(const std::vector<std::string>& names, const at::Tensor& x) {
  const at::Tensor rows = x.to(at::kDouble).contiguous();
  std::string bytes;
  for (const auto& name : names) bytes += name + "\n";
  bytes.append(static_cast<const char*>(rows.const_data_ptr()), rows.nbytes());
  return data::sha256(bytes);
}

std::vector<double> numbers(const at::Tensor& x) {
  return {x.const_data_ptr<double>(), x.const_data_ptr<double>() + x.numel()};
}

}  // namespace

RewardStatistics measure_statistics(const std::vector<std::string>& names, const at::Tensor& x) {
  RewardStatistics statistics{.names = names, .moments = {}, .digest = digest_of(names, x)};
  update(statistics.moments, x);
  if (statistics.moments.count < 2)
    throw BadInput("statistics: expected at least two images with finite rewards, found " +
                   std::to_string(static_cast<int64_t>(statistics.moments.count)));
  return statistics;
}

std::string statistics_text(const RewardStatistics& statistics) {
  nlohmann::ordered_json file;
  const RunningMoments& moments = statistics.moments;
  file["format"] = "laurel reward statistics";
  file["version"] = 1;
  file["images"] = static_cast<int64_t>(moments.count);
  file["digest"] = statistics.digest;
  const auto mean = numbers(moments.mean), std = numbers((moments.squares / moments.count).sqrt());
  for (size_t m = 0; m < statistics.names.size(); ++m)
    file["rewards"][statistics.names[m]] = {{"mean", mean[m]}, {"std", std[m]}};
  return data::to_text(file, 2) + "\n";
}

RewardStatistics read_statistics(const std::filesystem::path& path,
                                 const std::vector<std::string>& names) {
  const std::string where = path.string();
  const nlohmann::json file = data::read_json_object(path);
  const auto images = file.value("images", nlohmann::json()),
             known = file.value("rewards", nlohmann::json());
  if (!images.is_number_integer() || images.get<int64_t>() < 2 || !known.is_object())
    throw BadInput(where +
                   ": expected a file of `laurel score --save-statistics`, found other JSON");
  RewardStatistics statistics{.names = names, .moments = {}, .digest = ""};
  if (file.contains("digest") && file["digest"].is_string())
    statistics.digest = file["digest"].get<std::string>();
  std::vector<double> mean, squares;
  const double count = images.get<double>();
  for (const auto& name : names) {
    const auto entry = known.value(name, nlohmann::json());
    if (!entry.is_object() || !entry.value("mean", nlohmann::json()).is_number() ||
        !entry.value("std", nlohmann::json()).is_number())
      throw BadInput(where + ": rewards: expected mean and std of " + name +
                     ", found none; measure it: laurel score -r " + name +
                     " --save-statistics FILE");
    mean.push_back(entry["mean"].get<double>());
    const double std = entry["std"].get<double>();
    squares.push_back(std * std * count);
  }
  statistics.moments = {count, at::tensor(mean, at::kDouble), at::tensor(squares, at::kDouble)};
  return statistics;
}

}  // namespace rewards
