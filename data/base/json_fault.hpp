#pragma once

#include <string>
#include <string_view>

namespace data {

// Where and why `text` is no JSON: "column 25: NaN, which JSON does not have", after "line 2, "
// where it has several lines; "" when it is JSON.
std::string json_fault(std::string_view text);

}  // namespace data
