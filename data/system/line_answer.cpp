#include "data/system/line_answer.hpp"

#include <nlohmann/json.hpp>

#include "data/base/json.hpp"

namespace data {

bool read_answer(LineSubprocess& program,
                 int64_t id,
                 LineSubprocess::Deadline deadline,
                 nlohmann::json& object,
                 std::string& last_line) {
  while (auto line = program.read_line(deadline)) {
    last_line = std::move(*line);
    object = parse_json_with_nan(last_line);
    const auto found = object.is_object() ? object.find("id") : object.end();
    if (object.is_object() && found != object.end() && found->is_number() && *found == id)
      return true;
  }
  return false;
}

}  // namespace data
