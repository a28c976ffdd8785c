#pragma once

// Where the page listens.

#include <string>
#include <vector>

#include "data/system/http_server.hpp"

namespace studio {

// The page sends small requests at once: who is slower is dropped, so that many slow connections
// cannot keep it busy.
inline constexpr data::HttpServerLimits kServerLimits{
    .workers = 128, .read_seconds = 1, .request_seconds = 5, .body_bytes = int64_t{64} << 10};

// The addresses by which others reach a server that listens on `address`: itself, for 0.0.0.0 those
// of this machine's network interfaces. "": none. Throws BadInput when it is no IPv4 address.
std::vector<std::string> names_of(const std::string& address);

}  // namespace studio
