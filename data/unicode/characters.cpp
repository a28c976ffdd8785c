#include "data/unicode/characters.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <iterator>

namespace data {
namespace {

struct Range {
  char32_t first, last;
};
struct LowerRun {
  char32_t first, last, stride;
  uint32_t shift;  // modulo 2^32
};
struct Decomposition {
  char32_t whole, first, second;  // second: 0 when the decomposition is a single code point
};
struct Combining {
  char32_t first, last;
  uint32_t order;
};
struct Composition {
  char32_t first, second, whole;
};

#include "data/unicode/tables.inc"

constexpr char32_t kReplacement = 0xFFFD;
// Hangul syllables are composed by arithmetic: Unicode Standard, section 3.12.
constexpr char32_t kHangulS = 0xAC00, kHangulL = 0x1100, kHangulV = 0x1161, kHangulT = 0x11A7;
constexpr char32_t kCountL = 19, kCountV = 21, kCountT = 28, kCountS = kCountL * kCountV * kCountT;

// The row that holds `c` in a table sorted by first..last, or nullptr.
template <class Row, size_t N>
const Row* row_of(const Row (&table)[N], char32_t c) {
  const Row* row = std::upper_bound(std::begin(table), std::end(table), c,
                                    [](char32_t value, const Row& r) { return value < r.first; });
  return row != std::begin(table) && c <= (row - 1)->last ? row - 1 : nullptr;
}

struct Decoded {
  char32_t point = kReplacement;
  size_t bytes = 1;
  bool valid = false;
};

Decoded decode_one(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(at);
  if (lead < 0x80) return {lead, 1, true};
  const size_t bytes = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || at + bytes > text.size()) return {};
  char32_t point = lead & (0x7F >> bytes);
  for (size_t i = 1; i < bytes; ++i) {
    if ((byte(at + i) & 0xC0) != 0x80) return {};
    point = point << 6 | (byte(at + i) & 0x3F);
  }
  constexpr std::array<char32_t, 5> kSmallest{0, 0, 0x80, 0x800, 0x10000};
  if (point < kSmallest[bytes] || point > 0x10FFFF || (point >= 0xD800 && point <= 0xDFFF))
    return {};
  return {point, bytes, true};
}

uint32_t combining_order(char32_t c) {
  const Combining* row = row_of(kCombining, c);
  return row ? row->order : 0;
}

void decompose(char32_t c, std::u32string& out) {
  if (c >= kHangulS && c < kHangulS + kCountS) {
    const char32_t index = c - kHangulS;
    out += kHangulL + index / (kCountV * kCountT);
    out += kHangulV + index % (kCountV * kCountT) / kCountT;
    if (index % kCountT) out += kHangulT + index % kCountT;
    return;
  }
  const auto* row =
      std::lower_bound(std::begin(kDecompositions), std::end(kDecompositions), c,
                       [](const Decomposition& d, char32_t value) { return d.whole < value; });
  if (row == std::end(kDecompositions) || row->whole != c) {
    out += c;
    return;
  }
  decompose(row->first, out);
  if (row->second) decompose(row->second, out);
}

// The composition of two code points, or 0.
char32_t compose(char32_t first, char32_t second) {
  if (first >= kHangulL && first < kHangulL + kCountL && second >= kHangulV &&
      second < kHangulV + kCountV) {
    return kHangulS + ((first - kHangulL) * kCountV + (second - kHangulV)) * kCountT;
  }
  const bool syllable_without_tail =
      first >= kHangulS && first < kHangulS + kCountS && (first - kHangulS) % kCountT == 0;
  if (syllable_without_tail && second > kHangulT && second < kHangulT + kCountT)
    return first + (second - kHangulT);
  const auto* row = std::lower_bound(
      std::begin(kCompositions), std::end(kCompositions), Composition{first, second, 0},
      [](const Composition& a, const Composition& b) {
        return a.first != b.first ? a.first < b.first : a.second < b.second;
      });
  return row != std::end(kCompositions) && row->first == first && row->second == second ? row->whole
                                                                                        : 0;
}

}  // namespace

std::u32string decode_utf8(std::string_view text) {
  std::u32string out;
  for (size_t at = 0; at < text.size();) {
    const Decoded one = decode_one(text, at);
    out += one.point;
    at += one.bytes;
  }
  return out;
}

std::string encode_utf8(std::u32string_view text) {
  std::string out;
  for (const char32_t c : text) {
    if (c < 0x80) {
      out += static_cast<char>(c);
      continue;
    }
    const int more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    constexpr std::array<unsigned, 4> kLead{0, 0xC0, 0xE0, 0xF0};
    out += static_cast<char>(kLead[more] | c >> (6 * more));
    for (int i = more - 1; i >= 0; --i) out += static_cast<char>(0x80 | (c >> (6 * i) & 0x3F));
  }
  return out;
}

bool is_letter(char32_t c) { return row_of(kLetters, c) != nullptr; }
bool is_number(char32_t c) { return row_of(kNumbers, c) != nullptr; }
bool is_space(char32_t c) { return row_of(kSpaces, c) != nullptr; }

bool inside_word(std::string_view text, size_t at) {
  constexpr size_t kLongest = 4;  // bytes of a character
  if (at == 0 || at >= text.size()) return false;
  const auto is_word = [](char32_t c) { return is_letter(c) || is_number(c) || c == U'_'; };
  const size_t from = at < kLongest ? 0 : at - kLongest;
  return is_word(decode_utf8(text.substr(from, at - from)).back()) &&
         is_word(decode_utf8(text.substr(at, kLongest)).front());
}

std::u32string lower(std::u32string_view text) {
  std::u32string out;
  for (const char32_t c : text) {
    const LowerRun* run = row_of(kLower, c);
    if (c == 0x130) {
      out += U"i\u0307";  // the only code point whose lower case has two
    } else if (run && (c - run->first) % run->stride == 0) {
      out += static_cast<char32_t>(c + run->shift);
    } else {
      out += c;
    }
  }
  return out;
}

std::u32string nfc(std::u32string_view text) {
  if (std::all_of(text.begin(), text.end(), [](char32_t c) { return c < 0x300; }))
    return std::u32string(text);
  // 1. Decompose, and put runs of combining marks into canonical order.
  std::u32string apart;
  for (const char32_t c : text) decompose(c, apart);
  for (auto it = apart.begin(); it != apart.end();) {
    const auto end =
        std::find_if(it, apart.end(), [](char32_t c) { return combining_order(c) == 0; });
    std::stable_sort(
        it, end, [](char32_t a, char32_t b) { return combining_order(a) < combining_order(b); });
    it = end == apart.end() ? end : end + 1;
  }
  // 2. Compose each mark with the last starter, unless a mark of the same or a higher order stands
  // between.
  std::u32string out;
  size_t starter = std::u32string::npos;
  uint32_t last_order = 0;
  for (const char32_t c : apart) {
    const uint32_t order = combining_order(c);
    const bool adjacent = starter != std::u32string::npos && starter + 1 == out.size();
    const bool reachable =
        starter != std::u32string::npos && (adjacent || (last_order < order && last_order != 0));
    const char32_t whole = reachable ? compose(out[starter], c) : 0;
    if (whole) {
      out[starter] = whole;
      continue;
    }
    if (order == 0) starter = out.size();
    last_order = order;
    out += c;
  }
  return out;
}

std::u32string without_accents(std::u32string_view text) {
  std::u32string apart;
  for (const char32_t c : text) decompose(c, apart);
  std::erase_if(apart, [](char32_t c) { return combining_order(c) != 0; });
  return apart;
}

}  // namespace data
