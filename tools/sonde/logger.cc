#include "tools/sonde/logger.h"

#include <spdlog/async.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <string>

namespace sonde {
namespace {

struct Level {
  std::string_view name;
  LogLevel level;
  spdlog::level::level_enum spd;
};
constexpr std::array<Level, 4> kLevels = {{
    {"debug", LogLevel::kDebug, spdlog::level::debug},
    {"info", LogLevel::kInfo, spdlog::level::info},
    {"warn", LogLevel::kWarn, spdlog::level::warn},
    {"error", LogLevel::kError, spdlog::level::err},
}};

bool Bare(std::string_view value) {
  return !value.empty() && std::all_of(value.begin(), value.end(), [](char c) {
    return c > ' ' && c < 0x7f && c != '"' && c != '=' && c != '\\';
  });
}

// Whatever stands in a target or in an answer: no line of the log can be forged by it.
void AppendLogfmt(std::string& out, std::string_view key, std::string_view value) {
  if (!out.empty()) out += ' ';
  out += key;
  out += '=';
  if (Bare(value)) {
    out += value;
    return;
  }
  // JSON's string is logfmt's quoted value.
  out += nlohmann::json(value).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

void AppendJson(std::string& out, std::string_view key, std::string_view value) {
  if (!out.empty()) out += ',';
  out += nlohmann::json(key).dump();
  out += ':';
  out += nlohmann::json(value).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

using Append = void (*)(std::string&, std::string_view, std::string_view);

// The levels' names are ours: spdlog would say "warning".
std::string Fields(Append append, LogLevel level, std::string_view message,
                   std::span<const LogField> fields) {
  std::string out;
  append(out, "level", kLevels[static_cast<size_t>(level)].name);
  append(out, "msg", message);
  for (const auto& [key, value] : fields) append(out, key, value);
  return out;
}

class SpdLogger : public Logger {
 public:
  SpdLogger(LogLevel level, bool json) : level_(level), append_(json ? AppendJson : AppendLogfmt) {
    pool_ = std::make_shared<spdlog::details::thread_pool>(8192, 1);
    logger_ = std::make_shared<spdlog::async_logger>(
        "sonde", std::make_shared<spdlog::sinks::stderr_sink_mt>(), pool_,
        spdlog::async_overflow_policy::overrun_oldest);
    logger_->set_pattern(
        json ? R"({"ts":"%Y-%m-%dT%H:%M:%S.%eZ",%v})" : "ts=%Y-%m-%dT%H:%M:%S.%eZ %v",
        spdlog::pattern_time_type::utc);
    logger_->set_level(spdlog::level::trace);
    logger_->flush_on(spdlog::level::info);
  }

  bool Enabled(LogLevel level) const override { return level >= level_; }

  void Log(LogLevel level, std::string_view message, std::span<const LogField> fields) override {
    if (!Enabled(level)) return;
    const std::string text = Fields(append_, level, message, fields);
    logger_->log(kLevels[static_cast<size_t>(level)].spd, spdlog::string_view_t(text));
  }

 private:
  const LogLevel level_;
  const Append append_;
  std::shared_ptr<spdlog::details::thread_pool> pool_;  // goes last: it drains what is queued
  std::shared_ptr<spdlog::async_logger> logger_;
};

}  // namespace

std::string LogfmtFields(LogLevel level, std::string_view message,
                         std::initializer_list<LogField> fields) {
  return Fields(AppendLogfmt, level, message, {fields.begin(), fields.size()});
}

std::string JsonFields(LogLevel level, std::string_view message,
                       std::initializer_list<LogField> fields) {
  return Fields(AppendJson, level, message, {fields.begin(), fields.size()});
}

std::optional<LogLevel> FindLogLevel(std::string_view word) {
  for (const Level& row : kLevels) {
    if (row.name == word) return row.level;
  }
  return std::nullopt;
}

absl::StatusOr<std::unique_ptr<Logger>> MakeLogger(std::string_view level,
                                                   std::string_view format) {
  if (format != "logfmt" && format != "json") {
    return absl::InvalidArgumentError("--log.format must be logfmt or json, not '" +
                                      std::string(format) + "'");
  }
  for (const Level& row : kLevels) {
    if (row.name == level) return std::make_unique<SpdLogger>(row.level, format == "json");
  }
  return absl::InvalidArgumentError("--log.level must be debug, info, warn or error, not '" +
                                    std::string(level) + "'");
}

void LogLines(Logger& log, LogLevel level, std::string_view message, std::string_view lines) {
  while (!lines.empty()) {
    const size_t end = lines.find('\n');
    log.Log(level, message, {{"at", lines.substr(0, end)}});
    if (end == std::string_view::npos) return;
    lines.remove_prefix(end + 1);
  }
}

}  // namespace sonde
