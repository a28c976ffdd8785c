#pragma once

// The parts of the page: cmake/EmbedPage.cmake compiles them in.

#include <string_view>

namespace studio {

extern const std::string_view kPage_html;  // with {{style}} and {{script}}
extern const std::string_view kPage_style;
extern const std::string_view kPage_script;
extern const std::string_view kPage_script_hash;  // SHA-256 in hexadecimal
extern const std::string_view kPage_style_hash;

}  // namespace studio
