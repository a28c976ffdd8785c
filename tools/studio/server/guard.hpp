#pragma once

// Who may ask the studio for anything. The page is open in a browser that also shows other
// people's pages, which can send requests here: each request must name this server as its host,
// come from this server's own page, and carry the session's secret.

#include <optional>
#include <string>
#include <vector>

#include "data/system/http_server.hpp"

namespace studio {

struct Guard {
  std::string token;               // in the address that is printed; entering takes it
  std::string session;             // the cookie's value
  std::string cookie;              // and its name; ports share cookies
  std::vector<std::string> hosts;  // "127.0.0.1:7860"
};
// listen: further host names or addresses by which the page may be reached
Guard make_guard(int port, const std::vector<std::string>& listen);

// What is answered instead; none: the request may go on. A request to enter needs no cookie, and
// the page itself, which holds nothing, neither.
std::optional<data::HttpReply> refusal_of(const Guard& guard, const data::HttpRequest& request);

// The answer to {"token": ..}: the cookie, or 403.
data::HttpReply enter(const Guard& guard, const data::HttpRequest& request);

// Sets the headers that every answer has: nothing is kept, framed, guessed at or loaded from
// elsewhere. script, style: SHA-256 of what the page holds, in base64; "": no page
data::HttpReply guarded(data::HttpReply reply,
                        const std::string& script = "",
                        const std::string& style = "");

// {"error": why}
data::HttpReply refused(int status, const std::string& why);

// The path without what follows a question mark.
std::string path_of(const data::HttpRequest& request);

}  // namespace studio
