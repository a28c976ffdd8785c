#include "tools/cli/console/progress.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>

#include "data/base/log.hpp"

namespace tools {
namespace {

constexpr double kBarInterval = 0.1;     // seconds between two updates of the bar
constexpr double kPlainInterval = 10.0;  // seconds between two lines of a log
constexpr size_t kWidestBar = 30;

size_t terminal_columns() {
  winsize size{};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 80;
}

// In place of what the line shows.
void draw_over(const std::string& text) {
  const auto columns = static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
  const size_t width = terminal_columns() - 1;
  std::cerr << '\r' << text << std::string(width - std::min(width, columns), ' ');
  if (text.empty()) std::cerr << '\r';
  std::cerr << std::flush;
}

double fraction_of(const ProgressState& state) {
  if (state.total <= 0) return 0;
  return std::clamp(static_cast<double>(state.done) / static_cast<double>(state.total), 0.0, 1.0);
}

std::string rate_text(const ProgressState& state) {
  if (state.done == 0 || state.seconds <= 0) return "?" + state.unit + "/s";
  const double rate = static_cast<double>(state.done) / state.seconds;
  char text[32];
  std::snprintf(text, sizeof text, "%.2f", rate >= 1 ? rate : 1 / rate);
  return text + (rate >= 1 ? state.unit + "/s" : "s/" + state.unit);
}

std::string left_text(const ProgressState& state) {
  if (state.done == 0) return "?";
  const auto remaining = static_cast<double>(std::max<int64_t>(state.total - state.done, 0));
  return clock_text(state.seconds / static_cast<double>(state.done) * remaining);
}

std::string percent_text(const ProgressState& state) {
  return std::to_string(static_cast<int>(100 * fraction_of(state))) + "%";
}

// `width` columns, in eighths of a column.
std::string blocks(double fraction, size_t width) {
  static const char* const kEighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  const auto eighths = static_cast<size_t>(fraction * 8 * static_cast<double>(width));
  std::string bar;
  for (size_t i = 0; i < eighths / 8; ++i) bar += "█";
  bar += kEighths[eighths % 8];
  const size_t used = eighths / 8 + (eighths % 8 ? 1 : 0);
  return bar + std::string(width - std::min(used, width), ' ');
}

nlohmann::ordered_json figures_of(const ProgressState& state) {
  return {{"task", state.title},
          {"done", state.done},
          {"total", state.total},
          {"seconds", state.seconds},
          {"unit", state.unit}};
}

}  // namespace

std::string clock_text(double seconds) {
  const auto total = static_cast<int64_t>(std::llround(std::max(seconds, 0.0)));
  char text[32];
  if (total < 3600) {
    std::snprintf(text, sizeof text, "%02d:%02d", static_cast<int>(total / 60),
                  static_cast<int>(total % 60));
  } else {
    std::snprintf(text, sizeof text, "%lld:%02d:%02d", static_cast<long long>(total / 3600),
                  static_cast<int>(total / 60 % 60), static_cast<int>(total % 60));
  }
  return text;
}

std::string bar_text(const ProgressState& state, size_t columns) {
  const std::string percent = percent_text(state);
  const std::string left =
      state.title + ": " + std::string(4 - std::min<size_t>(4, percent.size()), ' ') + percent;
  std::string right = " " + std::to_string(state.done) + "/" + std::to_string(state.total) + " [" +
                      clock_text(state.seconds) + "<" + left_text(state) + ", " + rate_text(state) +
                      (state.note.empty() ? "" : ", " + state.note) + "]";
  const size_t used = left.size() + right.size() + 2;
  if (used + 3 > columns) return (left + right).substr(0, columns);
  return left + "|" + blocks(fraction_of(state), std::min(kWidestBar, columns - used)) + "|" +
         right;
}

std::string plain_text(const ProgressState& state) {
  return state.title + ": " + std::to_string(state.done) + "/" + std::to_string(state.total) +
         " (" + percent_text(state) + "), " + rate_text(state) + ", " + left_text(state) + " left" +
         (state.note.empty() ? "" : ", " + state.note);
}

Progress::Progress(std::string title, int64_t total, std::string unit)
    : state_{.title = std::move(title), .unit = std::move(unit), .total = total, .note = ""},
      start_(std::chrono::steady_clock::now()),
      terminal_(::isatty(STDERR_FILENO) == 1 && data::logs(data::LogLevel::kInfo) &&
                !data::log_settings().json) {}

Progress::~Progress() {
  if (!terminal_ || shown_at_ < 0) return;
  show(true);
  std::cerr << std::endl;
}

void Progress::advance(int64_t count, const std::string& note) {
  state_.done += count;
  state_.note = note;
  show(state_.done >= state_.total);
}

void Progress::above(const std::function<void()>& write) {
  const bool drawn = terminal_ && shown_at_ >= 0;
  if (drawn) draw_over("");
  write();
  if (drawn) show(true);
}

void Progress::print(const std::string& line) {
  above([&] { data::log_info(line); });
}

void Progress::print_fault(const std::string& line) {
  above([&] { data::log_error(line); });
}

void Progress::show(bool last) {
  state_.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  const bool line_due = last || state_.seconds - logged_at_ >= kPlainInterval;
  if (line_due) logged_at_ = state_.seconds;
  if (!terminal_) {
    if (line_due) data::log_figures(data::LogLevel::kInfo, plain_text(state_), figures_of(state_));
    return;
  }
  // A bar that is redrawn after a line above it says nothing new.
  if (line_due && state_.done != logged_) {
    data::log_figures_in_file(plain_text(state_), figures_of(state_));
    logged_ = state_.done;
  }
  if (!last && state_.seconds - std::max(shown_at_, -1.0) < kBarInterval) return;
  shown_at_ = state_.seconds;
  draw_over(bar_text(state_, terminal_columns() - 1));
}

}  // namespace tools
