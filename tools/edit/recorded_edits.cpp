#include "tools/edit/recorded_edits.hpp"

#include <nlohmann/json.hpp>

#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "data/storage/cut_line.hpp"

namespace tools {

std::set<std::string> recorded_edits(const std::filesystem::path& folder) {
  std::set<std::string> outputs;
  const auto results = folder / kEditResults;
  if (!std::filesystem::exists(results)) return outputs;
  data::drop_cut_line(results);
  data::for_each_line(results, [&](const std::string& line, const std::string&) {
    const auto record = data::parse_json(line);
    if (!record.is_object()) return;
    const auto output = record.find("output");
    if (output != record.end() && output->is_string()) outputs.insert(output->get<std::string>());
  });
  return outputs;
}

}  // namespace tools
