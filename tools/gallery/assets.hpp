#pragma once

// The page's parts, compiled in from tools/gallery/page by cmake/EmbedGallery.cmake.

#include <string_view>

namespace gallery {

extern const std::string_view kPage_html;         // the template, with {{names}} to be filled
extern const std::string_view kPage_style;        // every style sheet
extern const std::string_view kPage_script;       // every script, in one scope
extern const std::string_view kPage_script_hash;  // SHA-256 of the script, in hexadecimal
extern const std::string_view kPage_style_hash;

}  // namespace gallery
