#include "tools/sonde/serve.h"

#include <sys/resource.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "engine/loop/engine.h"
#include "exporter/http_listener.h"
#include "exporter/http_server.h"
#include "exporter/loop.h"
#include "exporter/site.h"
#include "protocols/body_budget.h"
#include "tools/sonde/configuration.h"
#include "tools/sonde/logger.h"
#include "tools/sonde/privileges.h"
#include "tools/sonde/run_log.h"
#include "tools/sonde/version.h"

namespace sonde {
namespace {

using ReloadDone = std::function<void(absl::Status)>;
constexpr size_t kReloadsWaiting = 64;

WallTime Now() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return {now.tv_sec * 1'000'000'000 + now.tv_nsec};
}

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "sonde: %s\n", std::string(status.message()).c_str());
  return 1;
}

void SetBodyMemory(const EngineSettings& settings) {
  BodyBudget::Global().SetLimits(static_cast<uint64_t>(settings.body_memory_per_probe),
                                 static_cast<uint64_t>(settings.body_memory));
}

// One log line per line of text.
void LogLines(Logger& log, LogLevel level, std::string_view message, std::string_view lines) {
  while (!lines.empty()) {
    const size_t end = lines.find('\n');
    log.Log(level, message, {{"at", lines.substr(0, end)}});
    if (end == std::string_view::npos) return;
    lines.remove_prefix(end + 1);
  }
}

// Everything that lives as long as the process serves. Members die in reverse order: the server
// first, then the engine (its threads tell the sinks until they are joined), the loop last.
class Service {
 public:
  Service(const ServeOptions& options, std::unique_ptr<Logger> log)
      : options_(options), log_(std::move(log)), run_log_(*log_, inbox_), self_(ThisBuild()) {}

  absl::Status Start(LoadedFile loaded, ListenSockets sockets);
  void Run();
  void Stop();

 private:
  absl::Status StartEngine(const TaskFile& file);
  absl::Status StartServer(ListenSockets sockets);
  void Take(LoadedFile loaded);
  void Refuse(const absl::Status& status);
  void Reload(ReloadDone done);
  void LoadAgain();
  EngineSettings Settings(const TaskFile& file) const;
  void WarnOfRestart(const EngineSettings& wanted);

  const ServeOptions options_;
  std::unique_ptr<Logger> log_;
  std::unique_ptr<ExporterLoop> loop_;
  FileWatcher files_;
  TextsInbox inbox_;
  RunLog run_log_;
  SelfMetrics self_;
  Catalog catalog_;
  Configuration configuration_;
  EngineSettings at_start_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<Site> site_;
  std::unique_ptr<HttpServer> server_;
  std::unique_ptr<ExporterLoop::Ticker> ticker_;
  bool ready_ = false;
  bool stopping_ = false;
  bool reloading_ = false;
  std::vector<ReloadDone> asked_;  // and not yet answered by a reading
};

// Shards come first: a scrape of a large fleet must not make probes late. Raising the nice value
// needs no privilege; an error changes nothing but that.
void Service::Run() {
  constexpr int kBehindShards = 5;
  errno = 0;
  const int now = getpriority(PRIO_PROCESS, 0);
  if (errno == 0) setpriority(PRIO_PROCESS, 0, now + kBehindShards);
  loop_->Run();
}

EngineSettings Service::Settings(const TaskFile& file) const {
  EngineSettings settings = file.engine;
  if (options_.shards > 0) settings.shards = options_.shards;
  return settings;
}

absl::Status Service::StartEngine(const TaskFile& file) {
  Engine::Options engine;
  at_start_ = engine.settings = Settings(file);
  engine.pin = options_.pin;
  engine.policy = std::make_shared<ProbePolicy>(file.policy);
  auto started = Engine::Start(engine, files_, &run_log_);
  if (!started.ok()) return started.status();
  engine_ = *std::move(started);
  return files_.Start();
}

absl::Status Service::StartServer(ListenSockets sockets) {
  SiteParts parts;
  parts.catalog = &catalog_;
  parts.self = &self_;
  parts.inbox = &inbox_;
  parts.engine = engine_.get();
  parts.now = Now;
  parts.ready = [this] { return ready_ && !stopping_; };
  parts.reload = [this](ReloadDone done) { Reload(std::move(done)); };
  parts.posts_refused = [this] { return loop_->posts_refused(); };
  site_ = std::make_unique<Site>(std::move(parts));
  Router router;
  if (absl::Status status = site_->AddTo(&router); !status.ok()) return status;
  HttpServerOptions server;
  server.allowed_hosts = options_.allowed_hosts;
  server.log = log_.get();
  server.registry = &self_.registry();
  server_ = std::make_unique<HttpServer>(*loop_, std::move(router), std::move(server));
  return server_->Start(std::move(sockets));
}

absl::Status Service::Start(LoadedFile loaded, ListenSockets sockets) {
  auto loop = ExporterLoop::Create();
  if (!loop.ok()) return loop.status();
  loop_ = *std::move(loop);
  if (absl::Status status = StartEngine(loaded.file); !status.ok()) return status;
  for (const std::string& named : loaded.file.files) files_.Watch(named);
  if (absl::Status status = StartServer(std::move(sockets)); !status.ok()) return status;
  for (const Address& address : server_->bound()) {
    log_->Log(LogLevel::kInfo, "listening", {{"address", address.HostPort()}});
  }
  for (const int signum : {SIGTERM, SIGINT}) {
    if (absl::Status s = loop_->OnSignal(signum, [this] { Stop(); }); !s.ok()) return s;
  }
  const auto reload = [this] { Reload([](const absl::Status&) {}); };
  if (absl::Status s = loop_->OnSignal(SIGHUP, reload); !s.ok()) return s;
  ticker_ = loop_->Every(Seconds(1), [this] { site_->Receive(); });
  Take(std::move(loaded));
  ready_ = true;
  return absl::OkStatus();
}

// Nothing of the file is ignored in silence: not what only a restart puts in force either.
void Service::WarnOfRestart(const EngineSettings& wanted) {
  const std::pair<std::string_view, bool> kFixed[] = {
      {"engine.shards", wanted.shards != at_start_.shards},
      {"engine.max_descriptors", wanted.max_descriptors != at_start_.max_descriptors},
      {"engine.transmit_stamps", wanted.transmit_stamps != at_start_.transmit_stamps}};
  for (const auto& [key, changed] : kFixed) {
    if (changed) log_->Log(LogLevel::kWarn, "this change needs a restart", {{"key", key}});
  }
}

// Puts a loaded file in force. Loop thread.
void Service::Take(LoadedFile loaded) {
  LogLines(*log_, LogLevel::kWarn, "configuration", loaded.warnings);
  TaskFile& file = loaded.file;
  WarnOfRestart(Settings(file));
  engine_->SetLimits(Settings(file));
  SetBodyMemory(file.engine);
  engine_->SetPolicy(std::make_shared<ProbePolicy>(std::move(file.policy)));
  TaskDelta delta = configuration_.Replace(file.tasks);
  log_->Log(LogLevel::kInfo, "configuration loaded",
            {{"file", options_.config_file},
             {"tasks", std::to_string(configuration_.size())},
             {"changed", std::to_string(delta.upserts.size())},
             {"removed", std::to_string(delta.removals.size())}});
  catalog_.Apply(delta);
  engine_->Apply(std::move(delta));
  self_.SetReload(true, Now());
}

// Reads the file on a worker, takes it on the loop. One at a time: who asks meanwhile is answered
// by one more reading, since the file may have changed after the running one read it.
void Service::Reload(ReloadDone done) {
  if (asked_.size() >= kReloadsWaiting) {
    done(absl::ResourceExhaustedError("too many reloads wait"));
    return;
  }
  asked_.push_back(std::move(done));
  if (!reloading_) LoadAgain();
}

void Service::LoadAgain() {
  reloading_ = true;
  auto answered = std::make_shared<std::vector<ReloadDone>>(std::exchange(asked_, {}));
  auto result = std::make_shared<absl::StatusOr<LoadedFile>>(absl::UnknownError("not loaded"));
  const auto answer = [this, answered](const absl::Status& status) {
    reloading_ = false;
    for (const ReloadDone& done : *answered) done(status);
    if (!asked_.empty() && !reloading_) LoadAgain();
  };
  const bool accepted =
      loop_->RunInWorker([this, result] { *result = LoadFile(options_.config_file, &files_); },
                         [this, result, answer] {
                           const absl::Status status = result->status();
                           if (status.ok()) {
                             Take(*std::move(*result));
                           } else {
                             Refuse(status);
                           }
                           answer(status);
                         });
  if (accepted) return;
  const absl::Status status = absl::ResourceExhaustedError("too many jobs wait");
  Refuse(status);
  answer(status);
}

void Service::Refuse(const absl::Status& status) {
  self_.SetReload(false, Now());
  log_->Log(LogLevel::kError, "reload failed, the running configuration stays",
            {{"file", options_.config_file}});
  LogLines(*log_, LogLevel::kError, "configuration", std::string(status.message()));
}

void Service::Stop() {
  if (std::exchange(stopping_, true)) {
    loop_->Stop();  // the second signal does not wait
    return;
  }
  log_->Log(LogLevel::kInfo, "stopping");
  ticker_.reset();
  server_->Stop(Seconds(2), [this] { loop_->Stop(); });
}

// Privileges belong to threads: they go before there is a second one, and before the first file is
// read, so that what cannot be read without them cannot at a reload either.
absl::StatusOr<std::string> Unprivileged(const ServeOptions& options) {
  if (options.keep_capabilities) return "all";
  auto kept = GiveUpPrivileges();
  if (kept.ok()) return kept;
  return absl::Status(kept.status().code(),
                      "privileges cannot be given up: " + std::string(kept.status().message()) +
                          " (--keep-capabilities does without)");
}

}  // namespace

int Serve(const ServeOptions& options) {
  // Whoever asks for a reload before we listen to it gets none, but does not end us either.
  std::signal(SIGHUP, SIG_IGN);
  auto sockets = ListenSockets::Bind(options.config_check ? std::vector<std::string>{}
                                                          : options.listen_addresses);
  if (!sockets.ok()) return Fail(sockets.status());
  const auto kept = Unprivileged(options);
  if (!kept.ok()) return Fail(kept.status());
  auto log = MakeLogger(options.log_level, options.log_format);
  if (!log.ok()) return Fail(log.status());
  auto loaded = LoadFile(options.config_file, nullptr);
  if (!loaded.ok()) {
    PrintLines(stderr, std::string(loaded.status().message()));
    return 1;
  }
  if (options.config_check) {
    std::fprintf(stderr, "%s", loaded->warnings.c_str());
    std::printf("%s: good, %zu tasks, %zu modules\n", options.config_file.c_str(),
                loaded->file.tasks.size(), loaded->file.modules.size());
    return 0;
  }
  (*log)->Log(LogLevel::kInfo, "starting",
              {{"version", ThisBuild().version}, {"capabilities", *kept}});
  Service service(options, *std::move(log));
  absl::Status status = service.Start(*std::move(loaded), *std::move(sockets));
  if (!status.ok()) return Fail(status);
  service.Run();
  return 0;
}

}  // namespace sonde
