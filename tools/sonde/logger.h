// The process's log: one line an event, logfmt or JSON, on stderr. Lines are handed to a thread of
// their own; when it cannot keep up the oldest are dropped.
#pragma once

#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "engine/contract/log.h"

namespace sonde {

// `level`: debug, info, warn, error; `format`: logfmt, json. InvalidArgument for other words.
absl::StatusOr<std::unique_ptr<Logger>> MakeLogger(std::string_view level, std::string_view format);

std::optional<LogLevel> FindLogLevel(std::string_view word);

// One log line per line of text, under the field `at`.
void LogLines(Logger& log, LogLevel level, std::string_view message, std::string_view lines);

// One line's text after its time. For tests.
std::string LogfmtFields(LogLevel level, std::string_view message,
                         std::initializer_list<LogField> fields);
std::string JsonFields(LogLevel level, std::string_view message,
                       std::initializer_list<LogField> fields);

}  // namespace sonde
