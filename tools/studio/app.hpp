#pragma once

// The studio as its page asks for it.

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "tools/studio/server/guard.hpp"
#include "tools/studio/server/pictures.hpp"
#include "tools/studio/voting/proof.hpp"
#include "tools/studio/voting/session.hpp"
#include "tools/studio/work/workshop.hpp"

namespace studio {

struct App {
  Guard guard;
  Store& store;
  std::unique_ptr<Session> session;
  Pictures pictures{};
  std::map<int64_t, std::unique_ptr<Proof>> proofs{};  // that are open, by the job of their run
  std::mutex mutex{};                                  // of all but the pictures
  std::unique_ptr<Workshop> workshop{};  // null: voting alone. Last: it uses the others
};

// Answers a request, from any thread.
data::HttpReply answer(App& app, const data::HttpRequest& request);

}  // namespace studio
