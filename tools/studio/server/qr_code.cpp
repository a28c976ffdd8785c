#include "tools/studio/server/qr_code.hpp"

#include <qrencode.h>

#include <memory>

#include "data/base/error.hpp"

namespace studio {
namespace {

constexpr int kMargin = 4;      // modules, ISO/IEC 18004
constexpr int kAnyVersion = 0;  // the smallest that holds the text

// Whether a module is light; those outside of the code are.
bool is_light(const QRcode& code, int row, int column) {
  if (row < 0 || column < 0 || row >= code.width || column >= code.width) return true;
  return (code.data[row * code.width + column] & 1) == 0;
}

// Two modules, one above the other, as a character.
const char* drawn(bool above, bool below) {
  if (above) return below ? "\u2588" : "\u2580";
  return below ? "\u2584" : " ";
}

}  // namespace

std::string qr_code(const std::string& text) {
  const std::unique_ptr<QRcode, void (*)(QRcode*)> code(
      QRcode_encodeString8bit(text.c_str(), kAnyVersion, QR_ECLEVEL_M), QRcode_free);
  if (!code)
    throw data::BadInput("QR code: expected a text of 1 to 2,300 bytes, found " +
                         std::to_string(text.size()));
  std::string lines;
  for (int row = -kMargin; row < code->width + kMargin; row += 2) {
    for (int column = -kMargin; column < code->width + kMargin; ++column)
      lines += drawn(is_light(*code, row, column), is_light(*code, row + 1, column));
    lines += "\n";
  }
  return lines;
}

}  // namespace studio
