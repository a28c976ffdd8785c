#include "data/base/log.hpp"

#include <chrono>
#include <cmath>
#include <ctime>
#include <iostream>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string_view>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/format.hpp"
#include "data/base/json.hpp"
#include "data/unicode/utf8.hpp"

namespace data {
namespace {

using nlohmann::ordered_json;

struct Log {
  LogSettings settings;
  bool file_failed = false;
  std::mutex writing;
};

Log& process_log() {
  static Log log;
  return log;
}

// "2026-11-30T04:05:06.789Z"
std::string utc_text(double time) {
  const auto millis = static_cast<int64_t>(std::floor(time * 1e3));
  const std::time_t seconds = millis / 1000;
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
  return text + formatted(".%03.0fZ", static_cast<double>(millis % 1000));
}

double seconds_since_1970() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

const char* const kBefore[] = {"laurel: ", "laurel: warning: ", "", ""};  // by level

void write_to_file(Log& log, const std::string& line) {
  if (log.settings.file.empty() || log.file_failed) return;
  try {
    append_line(log.settings.file, printable(line, "\n\t"));
  } catch (const BadInput& fault) {
    log.file_failed = true;
    std::cerr << kBefore[1] << "the log ends here: " << fault.what() << std::endl;
  }
}

void write(LogLevel level, const std::string& message, const ordered_json& figures) {
  Log& log = process_log();
  const std::lock_guard lock(log.writing);
  const std::string line =
      log_line(level, message, figures, seconds_since_1970(), log.settings.json);
  std::cerr << line << std::endl;
  write_to_file(log, line);
}

void say(LogLevel level, const std::string& message) {
  if (logs(level)) write(level, message, {});
}

}  // namespace

const std::vector<std::string>& log_level_names() {
  static const std::vector<std::string> names{"error", "warning", "info", "debug"};
  return names;
}

void start_log(const LogSettings& settings) {
  if (!settings.file.empty()) append_bytes(settings.file, "");
  Log& log = process_log();
  const std::lock_guard lock(log.writing);
  log.settings = settings;
  log.file_failed = false;
}

const LogSettings& log_settings() { return process_log().settings; }

bool logs(LogLevel level) { return level <= log_settings().level; }

void log_error(const std::string& message) { say(LogLevel::kError, message); }
void log_warning(const std::string& message) { say(LogLevel::kWarning, message); }
void log_info(const std::string& message) { say(LogLevel::kInfo, message); }
void log_debug(const std::string& message) { say(LogLevel::kDebug, message); }

void log_figures(LogLevel level, const std::string& message, const ordered_json& figures) {
  const LogLevel own = log_settings().json ? std::min(level, LogLevel::kInfo) : level;
  if (logs(own)) write(own, message, figures);
}

void log_figures_in_file(const std::string& message, const ordered_json& figures) {
  if (!logs(LogLevel::kInfo)) return;
  Log& log = process_log();
  const std::lock_guard lock(log.writing);
  write_to_file(
      log, log_line(LogLevel::kInfo, message, figures, seconds_since_1970(), log.settings.json));
}

std::string log_line(LogLevel level,
                     const std::string& message,
                     const ordered_json& figures,
                     double time,
                     bool json) {
  const auto place = static_cast<size_t>(level);
  const std::string_view text(message.data(), message.find_last_not_of('\n') + 1);
  if (!json) return kBefore[place] + std::string(text);
  ordered_json line{
      {"time", utc_text(time)}, {"level", log_level_names()[place]}, {"message", text}};
  for (const auto& [key, value] : figures.items()) line[key == "time" ? "logged" : key] = value;
  return to_text(line);
}

}  // namespace data
