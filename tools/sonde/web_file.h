// --web.config.file: read at the start, and again whenever it or a file it names changes.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/contract/log.h"
#include "engine/loop/file_watcher.h"
#include "exporter/http_server.h"
#include "exporter/loop.h"
#include "exporter/web_config.h"

namespace sonde {

inline constexpr size_t kWebFileLimit = size_t{1} << 20;  // bytes; of each file it names too

struct LoadedWeb {
  std::shared_ptr<const WebConfig> config;
  std::string text;      // of the file
  std::string warnings;  // "FILE:LINE:COLUMN: PATH: MESSAGE" lines
};

// Reads it through `files`, which watches it and what it names from then on. An error lists every
// place, a line each. Any thread, one at a time; blocks.
absl::StatusOr<LoadedWeb> LoadWebFile(const std::string& path, Files& files);

// The file while the process serves. A file that was good and is bad now lets nobody in: requests
// are answered 500. Where only what it names is bad (a certificate that was half replaced), what
// was read before stays in force. Control thread; outlives the loop, whose worker may be reading.
class WebFile {
 public:
  // `path` "": there is none, and nothing is done.
  WebFile(std::string path, Logger& log);

  absl::Status Load();
  // Null without a file. After Load.
  std::shared_ptr<const WebConfig> config() const { return current_.config; }

  // Looks for changes from here on; `server` gets them, `taken` whether they were good. Both
  // outlive the loop's run.
  absl::Status Start(ExporterLoop& loop, HttpServer& server, std::function<void(bool)> taken);
  void Stop() { look_.reset(); }

 private:
  void Look();
  void Take(absl::StatusOr<LoadedWeb> loaded);
  absl::Status MayFollow(const LoadedWeb& next) const;

  const std::string path_;
  Logger& log_;
  FileWatcher files_;
  LoadedWeb current_;        // the last that was good
  bool serves_tls_ = false;  // since the start, and until the end
  uint64_t epoch_ = 0;       // of files_, when they were last read
  bool reading_ = false;
  ExporterLoop* loop_ = nullptr;
  HttpServer* server_ = nullptr;
  std::function<void(bool)> taken_;
  std::unique_ptr<ExporterLoop::Ticker> look_;
};

}  // namespace sonde
