#include "diffusion/naming/transformer_names.hpp"

#include <charconv>
#include <numeric>

#include "diffusion/naming/flux_names.hpp"
#include "diffusion/naming/mmdit_names.hpp"

namespace diffusion {

std::vector<int64_t> row_counts(const OriginalRows& original, int64_t rows) {
  std::vector<int64_t> counts = original.shares;
  if (counts.empty()) counts.assign(original.names.size(), 1);
  const int64_t all = std::accumulate(counts.begin(), counts.end(), int64_t{0});
  if (all == 0 || rows % all != 0) return {};
  for (int64_t& count : counts) count *= rows / all;
  return counts;
}

OriginalRows transformer_rows(const std::string& original, int64_t blocks) {
  const OriginalRows rows = mmdit_rows(original, blocks);
  return rows.names.empty() ? flux_rows(original) : rows;
}

ModuleAndEnd module_and_end(std::string_view name) {
  for (const std::string_view end : {".weight", ".bias"}) {
    if (name.ends_with(end)) return {name.substr(0, name.size() - end.size()), end};
  }
  return {name, ""};
}

std::vector<std::string> names_in(const std::vector<OriginalModule>& table,
                                  const ModuleAndEnd& original,
                                  const std::string& before) {
  std::vector<std::string> names;
  for (const auto& known : table) {
    if (known.original != original.module) continue;
    for (const char* name : known.names) {
      if (name != nullptr) names.push_back(before + name + std::string(original.end));
    }
  }
  return names;
}

NumberedName numbered_name(std::string_view name, std::string_view blocks) {
  if (!name.starts_with(blocks)) return {};
  const std::string_view rest = name.substr(blocks.size());
  int64_t number = 0;
  const auto [end, fault] = std::from_chars(rest.data(), rest.data() + rest.size(), number);
  if (fault != std::errc() || number < 0 || end == rest.data() + rest.size() || *end != '.')
    return {};
  return {number, rest.substr(static_cast<size_t>(end - rest.data()) + 1)};
}

}  // namespace diffusion
