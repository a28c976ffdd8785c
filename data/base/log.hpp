#pragma once

// What a command says while it works: lines of a level, on stderr and in a file. Results, which go
// to stdout, are no part of it.

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace data {

// In the order of their weight; a log of a level holds the lines of all levels before it, too.
enum class LogLevel { kError, kWarning, kInfo, kDebug };

// "error", "warning", "info", "debug", in the order of LogLevel.
const std::vector<std::string>& log_level_names();

struct LogSettings {
  LogLevel level = LogLevel::kInfo;
  std::filesystem::path file{};  // gets the same lines, appended; empty: none
  bool json = false;             // each line an object: time, level, message, and its figures
};

// From here on, in the whole process. Throws BadInput where the file cannot be written. A file that
// cannot be written later on is told of once, and the work goes on.
void start_log(const LogSettings& settings);
const LogSettings& log_settings();

// One line. Errors and warnings begin with "laurel: " and "laurel: warning: ", as a user knows them
// from other programs. A file gets control characters as escapes.
void log_error(const std::string& message);
void log_warning(const std::string& message);
void log_info(const std::string& message);
void log_debug(const std::string& message);

// Whether lines of this level are shown.
bool logs(LogLevel level);

// A line with figures, an object. In JSON, the figures are keys of the line. `level`: of the line
// as text; in JSON it is an info line at most, because programs read those for the figures.
void log_figures(LogLevel level, const std::string& message, const nlohmann::ordered_json& figures);

// The line of the file alone: of what stderr shows in another way, as a bar. No effect without one.
void log_figures_in_file(const std::string& message, const nlohmann::ordered_json& figures);

// A line as it is written, without a newline at its end. time: seconds since 1970
std::string log_line(LogLevel level,
                     const std::string& message,
                     const nlohmann::ordered_json& figures,
                     double time,
                     bool json);

}  // namespace data
