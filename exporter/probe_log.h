// What is logged about one probe of /probe: into its record and, by the same level, into the
// process's log. Loop thread.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

#include "engine/contract/instant.h"
#include "engine/contract/log.h"
#include "engine/contract/task_set.h"

namespace sonde {

// Lines of logfmt with time, module and target, of `level` and above. Everything that comes from
// outside is quoted: no line can be forged.
class ProbeLog {
 public:
  // `log` may be null.
  ProbeLog(LogLevel level, Logger* log, std::string_view module, std::string_view target)
      : level_(level), log_(log), module_(module), target_(target) {}

  void Add(WallTime at, LogLevel level, std::string_view message,
           std::initializer_list<LogField> fields = {});

  // What a finished run has to say: its stages, its redirects, its verdict.
  void AddRun(const Runner::Answer& answer);

  const std::string& lines() const { return lines_; }

 private:
  static constexpr size_t kMostBytes = 16 * 1024;

  LogLevel level_;
  Logger* log_;
  std::string module_, target_;
  std::string lines_;
};

}  // namespace sonde
