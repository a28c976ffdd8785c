#pragma once

// The parts of the page: cmake/EmbedPage.cmake compiles them in from tools/bench_rewards/page.

#include <string_view>

namespace bench_rewards {

extern const std::string_view kPage_html;   // with {{version}}, {{style}} and {{body}}
extern const std::string_view kPage_style;  // all style sheets

}  // namespace bench_rewards
