#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "data/system/line_subprocess.hpp"

namespace data {

// Reads lines up to the first that is a JSON object with this "id" (NaN and infinity in it become
// null). Others are passed over: what a program or its libraries say while they load. False: none
// came until the deadline; `last_line` is the last one that did.
bool read_answer(LineSubprocess& program,
                 int64_t id,
                 LineSubprocess::Deadline deadline,
                 nlohmann::json& object,
                 std::string& last_line);

}  // namespace data
