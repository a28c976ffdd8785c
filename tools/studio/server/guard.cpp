#include "tools/studio/server/guard.hpp"

#include <openssl/crypto.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "data/base/json.hpp"
#include "tools/studio/server/pictures.hpp"

namespace studio {
namespace {

std::string header(const data::HttpRequest& request, const std::string& name) {
  const auto found = request.headers.find(name);
  return found == request.headers.end() ? "" : found->second;
}

// Takes as long whatever the first difference is.
bool same_secret(const std::string& given, const std::string& secret) {
  return given.size() == secret.size() &&
         CRYPTO_memcmp(given.data(), secret.data(), secret.size()) == 0;
}

std::string cookie_of(const data::HttpRequest& request, const std::string& name) {
  const std::string all = "; " + header(request, "cookie");
  const size_t place = all.find("; " + name + "=");
  if (place == std::string::npos) return "";
  const size_t from = place + name.size() + 3;
  return all.substr(from, all.find(';', from) - from);
}

bool is_own_origin(const Guard& guard, const std::string& origin) {
  return std::any_of(guard.hosts.begin(), guard.hosts.end(),
                     [&](const std::string& host) { return origin == "http://" + host; });
}

// Why a request that changes something is not from the studio's page; "": it is.
std::string foreign(const Guard& guard, const data::HttpRequest& request) {
  if (!is_own_origin(guard, header(request, "origin")))
    return "the Origin of the request is another page";
  if (header(request, "content-type") != "application/json")
    return "expected Content-Type: application/json";
  if (header(request, "x-laurel").empty()) return "expected the header X-Laurel";
  return "";
}

bool is_open(const std::string& path) { return path == "/" || path == "/api/enter"; }

}  // namespace

Guard make_guard(int port, const std::vector<std::string>& listen) {
  const std::string suffix = ":" + std::to_string(port);
  Guard guard{.token = random_name(),
              .session = random_name(),
              .cookie = "laurel_" + std::to_string(port),
              .hosts = {"127.0.0.1" + suffix, "localhost" + suffix, "[::1]" + suffix}};
  for (const auto& name : listen) guard.hosts.push_back(name + suffix);
  return guard;
}

data::HttpReply refused(int status, const std::string& why) {
  return {.status = status,
          .body = data::to_text(nlohmann::json{{"error", why}}),
          .headers = {},
          .error = ""};
}

std::string path_of(const data::HttpRequest& request) {
  return request.path.substr(0, request.path.find('?'));
}

std::optional<data::HttpReply> refusal_of(const Guard& guard, const data::HttpRequest& request) {
  const std::string host = header(request, "host"), path = path_of(request);
  if (std::find(guard.hosts.begin(), guard.hosts.end(), host) == guard.hosts.end())
    return refused(403, "the Host of the request is not this studio");
  const std::string origin = header(request, "origin"), site = header(request, "sec-fetch-site");
  if (!origin.empty() && !is_own_origin(guard, origin))
    return refused(403, "the Origin of the request is another page");
  if (path != "/" && !site.empty() && site != "same-origin")
    return refused(403, "the request comes from another page");
  if (request.method == "POST") {
    if (const std::string why = foreign(guard, request); !why.empty()) return refused(403, why);
  }
  if (!is_open(path) && !same_secret(cookie_of(request, guard.cookie), guard.session))
    return refused(401, "open the address that laurel printed");
  return std::nullopt;
}

data::HttpReply enter(const Guard& guard, const data::HttpRequest& request) {
  const auto body = data::parse_json(request.body);
  if (!body.is_object() || !body.contains("token") || !body["token"].is_string() ||
      !same_secret(body["token"].get<std::string>(), guard.token))
    return refused(403, "the address is of an earlier start; open the one that laurel printed");
  return {.status = 200,
          .body = "{}",
          .headers = {{"set-cookie",
                       guard.cookie + "=" + guard.session + "; Path=/; HttpOnly; SameSite=Strict"}},
          .error = ""};
}

data::HttpReply guarded(data::HttpReply reply,
                        const std::string& script,
                        const std::string& style) {
  const auto source = [](const std::string& digest) {
    return digest.empty() ? std::string("'none'") : "'sha256-" + digest + "'";
  };
  reply.headers["content-security-policy"] =
      "default-src 'none'; img-src 'self' data:; connect-src 'self'; script-src " + source(script) +
      "; style-src " + source(style) +
      "; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
  reply.headers["x-content-type-options"] = "nosniff";
  reply.headers["x-frame-options"] = "DENY";
  reply.headers["referrer-policy"] = "same-origin";
  reply.headers["cross-origin-resource-policy"] = "same-origin";
  reply.headers["cross-origin-opener-policy"] = "same-origin";
  reply.headers.emplace("cache-control", "no-store");
  return reply;
}

}  // namespace studio
