#pragma once

// What the page asks for: a path, and who answers.

#include <nlohmann/json_fwd.hpp>
#include <string_view>

namespace studio {

struct App;
using Body = nlohmann::json;  // of a request: an object

struct Route {
  std::string_view path;
  // Called with the app's mutex held. Throws BadInput for what the page may not ask.
  nlohmann::ordered_json (*answer)(App& app, const Body& body);
};

}  // namespace studio
