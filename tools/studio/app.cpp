#include "tools/studio/app.hpp"

#include <nlohmann/json.hpp>

#include "data/base/base64.hpp"
#include "data/base/error.hpp"
#include "data/base/json.hpp"
#include "data/base/log.hpp"
#include "data/unicode/utf8.hpp"
#include "tools/studio/assets.hpp"
#include "tools/studio/voting_api.hpp"
#include "tools/studio/work_api.hpp"

namespace studio {
namespace {

constexpr std::string_view kPicturePath = "/picture/";
const Route* route_at(const App& app, const std::string& path) {
  for (const auto& route : voting_routes()) {
    if (route.path == path) return &route;
  }
  if (!app.workshop) return nullptr;
  for (const auto& route : work_routes()) {
    if (route.path == path) return &route;
  }
  return nullptr;
}

data::HttpReply routed(App& app, const data::HttpRequest& request, const std::string& path) {
  const Route* route = route_at(app, path);
  if (!route) return refused(404, "nothing is here");
  if (request.method != "POST") return refused(405, "expected POST");
  const Body body = data::parse_json(request.body);
  if (!body.is_object()) return refused(400, "expected a JSON object");
  try {
    const std::lock_guard lock(app.mutex);
    return {
        .status = 200, .body = data::to_text(route->answer(app, body)), .headers = {}, .error = ""};
  } catch (const data::BadInput& error) {
    return refused(400, data::printable(error.what()));
  }
}

data::HttpReply picture(App& app, const std::string& name) {
  try {
    const auto found = app.pictures.encoded(name);
    if (!found) return refused(404, "nothing is here");
    return {.status = 200,
            .body = found->bytes,
            .headers = {{"content-type", found->type},
                        {"cache-control", "private, max-age=600, immutable"}},
            .error = ""};
  } catch (const data::BadInput&) {  // its message names the file
    return refused(410, "the picture cannot be read any more");
  }
}

std::string replaced(std::string text, std::string_view name, std::string_view by) {
  return text.replace(text.find(name), name.size(), by);
}

data::HttpReply page() {
  static const std::string html = replaced(
      replaced(std::string(kPage_html), "{{style}}", kPage_style), "{{script}}", kPage_script);
  return guarded({.status = 200,
                  .body = html,
                  .headers = {{"content-type", "text/html; charset=utf-8"}},
                  .error = ""},
                 data::base64(data::from_hex(kPage_script_hash)),
                 data::base64(data::from_hex(kPage_style_hash)));
}

data::HttpReply dispatched(App& app, const data::HttpRequest& request) {
  const std::string path = path_of(request);
  if (path == "/api/enter" && request.method == "POST") return enter(app.guard, request);
  if (path.starts_with(kPicturePath) && request.method == "GET")
    return picture(app, path.substr(kPicturePath.size()));
  return routed(app, request, path);
}

}  // namespace

data::HttpReply answer(App& app, const data::HttpRequest& request) {
  if (const auto refusal = refusal_of(app.guard, request)) return guarded(*refusal);
  if (path_of(request) == "/" && request.method == "GET") return page();
  try {
    return guarded(dispatched(app, request));
  } catch (const std::exception& error) {
    data::log_error(data::printable(error.what()));
    return guarded(refused(500, "the studio failed; its terminal says why"));
  }
}

}  // namespace studio
