#include "tools/cli/console/terminal.hpp"

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <streambuf>
#include <string>
#include <string_view>

#include "data/unicode/utf8.hpp"

namespace tools {
namespace {

// Bytes at the end of `text` that begin a character whose rest is still to come.
size_t unfinished(std::string_view text) {
  for (size_t back = 1; back <= std::min<size_t>(3, text.size()); ++back) {
    const auto byte = static_cast<unsigned char>(text[text.size() - back]);
    if ((byte & 0xC0) == 0x80) continue;
    const size_t length = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : byte >= 0xC0 ? 2 : 1;
    return length > back ? back : 0;
  }
  return 0;
}

class EscapingBuffer : public std::streambuf {
 public:
  explicit EscapingBuffer(std::streambuf* to) : to_(to) {}
  ~EscapingBuffer() override { pass(pending_.size()); }

 protected:
  std::streamsize xsputn(const char* bytes, std::streamsize count) override {
    const std::string_view text(bytes, static_cast<size_t>(count));
    if (text == "\r") return to_->sputn(bytes, count);
    pending_ += text;
    return pass(pending_.size() - unfinished(pending_)) ? count : 0;
  }
  int overflow(int byte) override {
    if (traits_type::eq_int_type(byte, traits_type::eof())) return traits_type::not_eof(byte);
    const char one = traits_type::to_char_type(byte);
    return xsputn(&one, 1) == 1 ? byte : traits_type::eof();
  }
  int sync() override { return to_->pubsync(); }

 private:
  bool pass(size_t count) {
    constexpr std::string_view kCsvLineEnd = "\r\n";
    std::string text;
    std::string_view rest = std::string_view(pending_).substr(0, count);
    for (size_t end = rest.find(kCsvLineEnd); end != rest.npos; end = rest.find(kCsvLineEnd)) {
      text.append(data::printable(rest.substr(0, end), "\n\t")).append(kCsvLineEnd);
      rest.remove_prefix(end + kCsvLineEnd.size());
    }
    text += data::printable(rest, "\n\t");
    pending_.erase(0, count);
    const auto length = static_cast<std::streamsize>(text.size());
    return to_->sputn(text.data(), length) == length;
  }
  std::streambuf* to_;
  std::string pending_;
};

}  // namespace

SafeOutput::SafeOutput()
    : output_(std::make_unique<EscapingBuffer>(std::cout.rdbuf())),
      errors_(std::make_unique<EscapingBuffer>(std::cerr.rdbuf())),
      output_before_(std::cout.rdbuf(output_.get())),
      errors_before_(std::cerr.rdbuf(errors_.get())) {}

SafeOutput::~SafeOutput() {
  std::cout.flush();
  std::cout.rdbuf(output_before_);
  std::cerr.rdbuf(errors_before_);
}

bool flush_output() {
  std::cout.flush();
  const bool flushed = std::fflush(stdout) == 0;
  return flushed && std::cout.good() && std::ferror(stdout) == 0;
}

}  // namespace tools
