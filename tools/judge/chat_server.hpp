#pragma once

// The server of a language model that a command asks: its options, its address, its models.

#include <string>

#include "data/system/http.hpp"
#include "tools/cli/options.hpp"

namespace tools {

struct ChatServerConfig {
  std::string server = "http://127.0.0.1:8080/v1", model, api_key_env;
  double timeout = 120;  // seconds
  bool remote = false;
};
// --server and --model.
void declare_chat_server(Options& options, ChatServerConfig& config);
// --timeout.
void declare_chat_timeout(Options& options, ChatServerConfig& config);
// --remote and --api_key_env. leaves: what a remote server would get, "images leave"
void declare_chat_access(Options& options, ChatServerConfig& config, const std::string& leaves);

struct ChatServer {
  data::Url base;  // with its path, "/v1"
  data::HttpOptions http;
};
// Throws BadInput for a server on another machine without --remote, and for a key that is not in
// the environment. sent: what it would get, "the images are"
ChatServer open_chat_server(const ChatServerConfig& config, const std::string& sent);

// --model, or the first that the server lists. Throws BadInput where it lists none.
std::string model_of(const ChatServerConfig& config, const ChatServer& server);

data::HttpReply post_chat(const ChatServer& server, const std::string& body);

}  // namespace tools
