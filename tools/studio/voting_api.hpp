#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tools/studio/app.hpp"
#include "tools/studio/server/route.hpp"

namespace studio {

// People, pairs, answers, and what was learnt.
const std::vector<Route>& voting_routes();

// A number, a text in a request; BadInput when it is none.
int64_t integer_in(const Body& body, const char* key);
std::string text_in(const Body& body, const char* key);
// A person of the store.
int64_t person_in(App& app, const Body& body);

}  // namespace studio
