#include "tools/studio/voting/report_json.hpp"

#include <nlohmann/json.hpp>

using nlohmann::ordered_json;

namespace studio {
namespace {

ordered_json interval_json(const rewards::Interval& share) {
  return {{"value", share.value}, {"low", share.low}, {"high", share.high}};  // NaN becomes null
}

ordered_json share_json(const Share& share) {
  ordered_json json = interval_json(share.share);
  json["name"] = share.name;
  json["pairs"] = share.pairs;
  json["kappa"] = kappa_of_share(share.share.value);
  return json;
}

ordered_json concordance_json(const std::vector<Concordance>& with) {
  ordered_json all = ordered_json::array();
  for (const auto& one : with) {
    ordered_json json = interval_json(one.share);
    json["pairs"] = one.pairs;
    json["kappa"] = one.kappa;
    all.push_back(json);
  }
  return all;
}

ordered_json shares_json(const std::vector<Share>& shares) {
  ordered_json all = ordered_json::array();
  for (const auto& share : shares) all.push_back(share_json(share));
  return all;
}

}  // namespace

ordered_json report_json(const Report& report) {
  ordered_json all = ordered_json::array();
  for (const auto& one : report) {
    ordered_json curve = ordered_json::array();
    for (const auto& point : one.curve) {
      ordered_json json = interval_json(point.share);
      json["answers"] = point.answers;
      curve.push_back(json);
    }
    all.push_back({{"person", one.person},
                   {"verdict", one.verdict},
                   {"predictors", shares_json(one.predictors)},
                   {"consistency", share_json(one.consistency)},
                   {"left", share_json(one.left)},
                   {"curve", curve},
                   {"by_taste_of", shares_json(one.by_taste_of)},
                   {"with", concordance_json(one.with)},
                   {"alpha", {{"value", one.alpha.value}, {"pairs", one.alpha.pairs}}}});
  }
  return all;
}

}  // namespace studio
