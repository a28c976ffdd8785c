#pragma once

#include <string>

namespace studio {

// A text as a QR code for a terminal with light letters on a dark ground: lines of U+2588, U+2580,
// U+2584 and spaces, two rows of modules a line, with the light margin of four modules that readers
// expect. Throws BadInput for a text that is empty or too long for a code (some 2,300 bytes).
std::string qr_code(const std::string& text);

}  // namespace studio
