#include "tools/judge/chat_server.hpp"

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "data/base/error.hpp"
#include "data/base/json.hpp"

using data::BadInput;

namespace tools {

void declare_chat_server(Options& options, ChatServerConfig& config) {
  options.text("server", config.server,
               "base URL of an OpenAI-compatible server (vLLM, llama.cpp, ..)");
  options.text("model", config.model, "its name there [the server's first]");
}

void declare_chat_timeout(Options& options, ChatServerConfig& config) {
  options.number("timeout", config.timeout, "seconds for an answer", 0.1, 36000);
}

void declare_chat_access(Options& options, ChatServerConfig& config, const std::string& leaves) {
  options.flag("remote", config.remote,
               "allow a server on another machine: " + leaves + " this one");
  options.text("api_key_env", config.api_key_env, "environment variable that holds the key");
}

ChatServer open_chat_server(const ChatServerConfig& config, const std::string& sent) {
  ChatServer server{.base = data::parse_url(config.server, "--server"), .http = {}};
  if (!data::is_loopback(server.base) && !config.remote)
    throw BadInput("--server " + config.server + ": expected a server on this machine; " + sent +
                   " sent there, so say --remote to allow another");
  while (server.base.path.ends_with('/')) server.base.path.pop_back();
  if (server.base.path.empty()) server.base.path = "/v1";
  server.http.seconds = config.timeout;
  if (!config.api_key_env.empty()) {
    const char* key = std::getenv(config.api_key_env.c_str());
    if (!key)
      throw BadInput("--api_key_env: expected a variable of the environment, found no " +
                     config.api_key_env);
    server.http.headers["authorization"] = std::string("Bearer ") + key;
  }
  return server;
}

std::string model_of(const ChatServerConfig& config, const ChatServer& server) {
  if (!config.model.empty()) return config.model;
  data::Url url = server.base;
  url.path += "/models";
  const auto reply = data::http_get(url, server.http);
  const auto body = data::parse_json(reply.body);
  if (reply.status == 200 && body.is_object() && body.value("data", nlohmann::json()).is_array() &&
      !body["data"].empty() && body["data"][0].is_object() &&
      body["data"][0].value("id", nlohmann::json()).is_string())
    return body["data"][0]["id"];
  throw BadInput("--server " + url.scheme + "://" + url.host + ":" + std::to_string(url.port) +
                 url.path + ": expected a list of models, found " +
                 (reply.status == 0 ? reply.error : "status " + std::to_string(reply.status)) +
                 "; is the server up? (--model names one)");
}

data::HttpReply post_chat(const ChatServer& server, const std::string& body) {
  data::Url url = server.base;
  url.path += "/chat/completions";
  return data::http_post(url, body, server.http);
}

}  // namespace tools
