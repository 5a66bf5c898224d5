// Where rooms put their log lines. tools/ gives the real one.
#pragma once

#include <initializer_list>
#include <span>
#include <string_view>
#include <utility>

namespace sonde {

enum class LogLevel { kDebug, kInfo, kWarn, kError };

using LogField = std::pair<std::string_view, std::string_view>;

// Any thread; must not block on a slow reader (lines are dropped and counted instead).
class Logger {
 public:
  virtual ~Logger() = default;
  virtual bool Enabled(LogLevel level) const = 0;
  virtual void Log(LogLevel level, std::string_view message, std::span<const LogField> fields) = 0;
  void Log(LogLevel level, std::string_view message, std::initializer_list<LogField> fields = {}) {
    Log(level, message, std::span<const LogField>(fields.begin(), fields.size()));
  }
};

}  // namespace sonde
