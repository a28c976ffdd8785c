#pragma once

// The parts of the page: cmake/EmbedGallery.cmake compiles them in from tools/gallery/page.

#include <string_view>

namespace gallery {

extern const std::string_view kPage_html;         // the template, with {{placeholders}}
extern const std::string_view kPage_style;        // all style sheets
extern const std::string_view kPage_script;       // all scripts, in one scope
extern const std::string_view kPage_script_hash;  // SHA-256 of the script, in hexadecimal
extern const std::string_view kPage_style_hash;

}  // namespace gallery
