#include "tools/sonde/web_file.h"

#include <algorithm>
#include <utility>

#include "store/yaml_reader.h"
#include "tools/sonde/logger.h"

namespace sonde {
namespace {

constexpr Duration kLookEvery = Milliseconds(250);

// Blanks and comments alone: the file is being written, or says nothing.
bool SaysNothing(const std::string& text) {
  for (size_t at = 0; at < text.size();) {
    const size_t first = text.find_first_not_of(" \t\r\n", at);
    if (first == std::string::npos) return true;
    if (text[first] != '#') return false;
    at = std::min(text.find('\n', first), text.size());
  }
  return true;
}

}  // namespace

absl::StatusOr<LoadedWeb> LoadWebFile(const std::string& path, Files& files) {
  files.Watch(path);
  const std::shared_ptr<const FileContent> content = files.Find(path);
  if (!content->ok())
    return absl::NotFoundError("error reading web config file: " + content->error);
  LoadedWeb loaded;
  loaded.text = content->data;
  auto config = std::make_shared<WebConfig>();
  Diagnostics diagnostics;
  if (!SaysNothing(loaded.text)) {
    YamlLimits limits;
    limits.bytes = kWebFileLimit;
    limits.nodes = 10'000;
    const YamlDocument document = ReadYaml(loaded.text, diagnostics, limits);
    const std::string folder = path.substr(0, path.rfind('/') + 1);
    if (diagnostics.ok()) *config = ReadWebConfig(document.root(), folder, files, diagnostics);
  }
  if (!diagnostics.ok()) {
    return absl::InvalidArgumentError("error parsing web config file:\n" +
                                      diagnostics.ToString(path));
  }
  loaded.warnings = diagnostics.ToString(path);
  loaded.config = std::move(config);
  return loaded;
}

WebFile::WebFile(std::string path, Logger& log)
    : path_(std::move(path)), log_(log), files_({.largest = kWebFileLimit, .every = kLookEvery}) {}

absl::Status WebFile::Load() {
  if (path_.empty()) return absl::OkStatus();
  auto loaded = LoadWebFile(path_, files_);
  if (!loaded.ok()) return loaded.status();
  current_ = *std::move(loaded);
  serves_tls_ = current_.config->tls != nullptr;
  LogLines(log_, LogLevel::kWarn, "web configuration", current_.warnings);
  epoch_ = files_.epoch();
  return absl::OkStatus();
}

absl::Status WebFile::Start(ExporterLoop& loop, HttpServer& server,
                            std::function<void(bool)> taken) {
  if (path_.empty()) return absl::OkStatus();
  loop_ = &loop;
  server_ = &server;
  taken_ = std::move(taken);
  taken_(true);
  look_ = loop.Every(kLookEvery, [this] { Look(); });
  return files_.Start();
}

void WebFile::Look() {
  const uint64_t now = files_.epoch();
  if (reading_ || now == epoch_) return;
  auto result = std::make_shared<absl::StatusOr<LoadedWeb>>(absl::UnknownError("not loaded"));
  // Refused when too many jobs wait: the next look tries again.
  reading_ = loop_->RunInWorker([this, result] { *result = LoadWebFile(path_, files_); },
                                [this, result] {
                                  reading_ = false;
                                  Take(std::move(*result));
                                });
  if (reading_) epoch_ = now;
}

// What would quietly take a lock off the door is not followed.
absl::Status WebFile::MayFollow(const LoadedWeb& next) const {
  if (SaysNothing(next.text) && !SaysNothing(current_.text)) {
    return absl::FailedPreconditionError(path_ + ": is empty now; {} says that nothing is set");
  }
  if (serves_tls_ && next.config->tls == nullptr) {
    return absl::FailedPreconditionError(
        path_ + ": tls_server_config: TLS is switched off by a restart only");
  }
  return absl::OkStatus();
}

void WebFile::Take(absl::StatusOr<LoadedWeb> loaded) {
  absl::Status status = loaded.status();
  if (status.ok()) status = MayFollow(*loaded);
  taken_(status.ok());
  if (status.ok()) {
    if (!serves_tls_ && loaded->config->tls != nullptr) {
      log_.Log(LogLevel::kWarn, "this change needs a restart", {{"key", "tls_server_config"}});
    }
    LogLines(log_, LogLevel::kWarn, "web configuration", loaded->warnings);
    log_.Log(LogLevel::kInfo, "web configuration loaded", {{"file", path_}});
    current_ = *std::move(loaded);
    server_->SetWeb(current_.config);
    return;
  }
  const bool same = files_.Find(path_)->data == current_.text;
  log_.Log(LogLevel::kError,
           same ? "a file the web configuration names is bad, the one before stays"
                : "the web configuration is bad, requests are answered 500",
           {{"file", path_}});
  LogLines(log_, LogLevel::kError, "web configuration", std::string(status.message()));
  server_->SetWeb(same ? current_.config : nullptr);
}

}  // namespace sonde
