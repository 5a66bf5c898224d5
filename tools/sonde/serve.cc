#include "tools/sonde/serve.h"

#include <fcntl.h>
#include <malloc.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "engine/loop/engine.h"
#include "exporter/headroom_watch.h"
#include "exporter/http_listener.h"
#include "exporter/http_server.h"
#include "exporter/loop.h"
#include "exporter/process_metrics.h"
#include "exporter/site.h"
#include "protocols/body_budget.h"
#include "tools/sonde/configuration.h"
#include "tools/sonde/logger.h"
#include "tools/sonde/node.h"
#include "tools/sonde/privileges.h"
#include "tools/sonde/reloader.h"
#include "tools/sonde/run_log.h"
#include "tools/sonde/version.h"
#include "tools/sonde/web_address.h"
#include "tools/sonde/web_file.h"

namespace sonde {
namespace {

WallTime Now() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return {now.tv_sec * 1'000'000'000 + now.tv_nsec};
}

int Fail(const absl::Status& status) {
  PrintLines(stderr, "sonde: " + std::string(status.message()));
  return 1;
}

// sd_listen_fds(3): the sockets systemd passed to this process, from descriptor 3 on.
std::vector<int> InheritedSockets() {
  const char* pid = std::getenv("LISTEN_PID");
  const char* count = std::getenv("LISTEN_FDS");
  std::vector<int> sockets;
  if (pid == nullptr || count == nullptr || std::atol(pid) != getpid()) return sockets;
  for (int i = 0; i < std::atoi(count) && i < 64; ++i) {
    const int descriptor = 3 + i;
    fcntl(descriptor, F_SETFD, FD_CLOEXEC);
    sockets.push_back(descriptor);
  }
  return sockets;
}

void SetBodyMemory(const EngineSettings& settings) {
  BodyBudget::Global().SetLimits(static_cast<uint64_t>(settings.body_memory_per_probe),
                                 static_cast<uint64_t>(settings.body_memory));
}

// Everything that lives as long as the process serves. Members die in reverse order: the server
// first, then the engine (its threads tell the sinks until they are joined), the loop last.
class Service {
 public:
  Service(const ServeOptions& options, WebAddress address, std::unique_ptr<Logger> log,
          std::unique_ptr<Logger> probe_log, WebFile& web)
      : options_(options),
        address_(std::move(address)),
        log_(std::move(log)),
        probe_log_(std::move(probe_log)),
        web_(web),
        targets_watch_({.largest = kConfigFileLimit}),
        run_log_(*log_, inbox_),
        self_(ThisBuild()),
        headroom_(self_.registry(), *log_) {}

  ~Service() { web_.Stop(); }  // its timer is our loop's

  absl::Status Start(Reading reading, ListenSockets sockets);
  void Run();
  void Stop();

 private:
  absl::Status StartEngine(const TaskFile& file);
  void StartProbes();
  absl::Status StartServer(ListenSockets sockets);
  absl::Status StartReloads();
  absl::StatusOr<Reading> Read();
  void Take(absl::StatusOr<Reading> reading);
  void TakeConfig(LoadedFile loaded);
  void TakeTargets(absl::StatusOr<LoadedTargets> loaded);
  void TakeTasks();
  void WarnOfCredentials();
  EngineSettings Settings(const TaskFile& file) const;
  void WarnOfRestart(const EngineSettings& wanted);

  const ServeOptions options_;
  const WebAddress address_;
  std::unique_ptr<Logger> log_;
  std::unique_ptr<Logger> probe_log_;
  WebFile& web_;  // outlives this
  // What a reading on a worker uses outlives the loop, which waits for it.
  FileWatcher files_;
  LoadedFile current_;     // in force
  LoadedTargets targets_;  // the same
  std::unique_ptr<Reloader> reloader_;
  std::unique_ptr<ExporterLoop> loop_;
  FileWatcher targets_watch_;
  TextsInbox inbox_;
  RunLog run_log_;
  SelfMetrics self_;
  HeadroomWatch headroom_;
  Catalog catalog_;
  Configuration configuration_;
  EngineSettings at_start_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<ProbeEndpoint> probes_;
  std::unique_ptr<Site> site_;
  std::unique_ptr<HttpServer> server_;
  std::unique_ptr<ExporterLoop::Ticker> ticker_, auto_reload_;
  bool ready_ = false;
  bool stopping_ = false;
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

void Service::StartProbes() {
  ProbeEndpoint::Parts parts;
  parts.runner = engine_.get();
  parts.now = Now;
  parts.instant = ExporterLoop::MonotonicNow;
  parts.post = [loop = loop_.get()](ExporterLoop::Task task) {
    return loop->Post(std::move(task));
  };
  parts.log = probe_log_.get();
  probes_ = std::make_unique<ProbeEndpoint>(options_.probe, std::move(parts));
}

absl::Status Service::StartServer(ListenSockets sockets) {
  SiteParts parts;
  parts.catalog = &catalog_;
  parts.self = &self_;
  parts.inbox = &inbox_;
  parts.engine = engine_.get();
  parts.now = Now;
  parts.ready = [this] { return ready_ && !stopping_; };
  parts.reload = [this](Reloader::Done done) { reloader_->Reload(std::move(done)); };
  parts.posts_refused = [this] { return loop_->posts_refused(); };
  parts.probes = probes_.get();
  parts.prefix = address_.prefix;
  parts.external_url = address_.url;
  site_ = std::make_unique<Site>(std::move(parts));
  Router router;
  if (absl::Status status = site_->AddTo(&router); !status.ok()) return status;
  HttpServerOptions server;
  server.max_connections = options_.max_connections;
  server.max_connections_per_client = options_.max_connections_per_client;
  server.allowed_hosts = options_.allowed_hosts;
  if (!address_.host.empty()) server.allowed_hosts.push_back(address_.host);
  server.log = log_.get();
  server.registry = &self_.registry();
  server_ = std::make_unique<HttpServer>(*loop_, std::move(router), std::move(server));
  if (web_.config() != nullptr) server_->SetWeb(web_.config());
  if (absl::Status status = server_->Start(std::move(sockets)); !status.ok()) return status;
  return web_.Start(*loop_, *server_, [this](bool good) { self_.SetWebConfig(good); });
}

// A reload is asked for by a signal, a request, a file of targets that changed, or the clock.
absl::Status Service::StartReloads() {
  const auto reload = [this] { reloader_->Reload([](const absl::Status&) {}); };
  for (const std::string& path : options_.targets.files) {
    targets_watch_.OnChange(path, [this, reload](const FileContent&) {
      // A message lost is made up for by the next change, or by a reload somebody asks for.
      static_cast<void>(loop_->Post(reload));
    });
  }
  if (!options_.targets.files.empty()) {
    if (absl::Status status = targets_watch_.Start(); !status.ok()) return status;
  }
  if (options_.auto_reload) {
    auto_reload_ = loop_->Every(Seconds(options_.auto_reload_seconds), reload);
  }
  return loop_->OnSignal(SIGHUP, reload);
}

absl::Status Service::Start(Reading reading, ListenSockets sockets) {
  auto loop = ExporterLoop::Create();
  if (!loop.ok()) return loop.status();
  loop_ = *std::move(loop);
  if (absl::Status status = StartEngine(reading.config.file); !status.ok()) return status;
  for (const std::string& named : reading.config.file.files) files_.Watch(named);
  StartProbes();
  reloader_ = std::make_unique<Reloader>(
      *loop_, [this] { return Read(); },
      [this](absl::StatusOr<Reading> read) { Take(std::move(read)); });
  if (absl::Status status = StartServer(std::move(sockets)); !status.ok()) return status;
  for (const Address& address : server_->bound()) {
    log_->Log(LogLevel::kInfo, "listening", {{"address", address.HostPort()}});
  }
  for (const int signum : {SIGTERM, SIGINT}) {
    if (absl::Status s = loop_->OnSignal(signum, [this] { Stop(); }); !s.ok()) return s;
  }
  if (absl::Status status = StartReloads(); !status.ok()) return status;
  ticker_ = loop_->Every(Seconds(1), [this] {
    site_->Receive();
    probes_->Sweep();
    headroom_.Observe(engine_->Snapshot(), ReadProcess().cpu_seconds, ExporterLoop::MonotonicNow());
  });
  Take(std::move(reading));
  ready_ = true;
  return absl::OkStatus();
}

// Nothing of the file is ignored in silence: not what only a restart puts in force either.
void Service::WarnOfRestart(const EngineSettings& wanted) {
  const std::pair<std::string_view, bool> kFixed[] = {
      {"engine.shards", wanted.shards != at_start_.shards},
      {"engine.io", wanted.io != at_start_.io},
      {"engine.max_descriptors", wanted.max_descriptors != at_start_.max_descriptors},
      {"engine.transmit_stamps", wanted.transmit_stamps != at_start_.transmit_stamps}};
  for (const auto& [key, changed] : kFixed) {
    if (changed) log_->Log(LogLevel::kWarn, "this change needs a restart", {{"key", key}});
  }
}

void Service::WarnOfCredentials() {
  if (options_.probe.guard_credentials) return;
  for (const auto& [name, module] : current_.file.modules) {
    const bool named = module->policy != nullptr && module->policy->names_targets();
    if (!module->has_credentials || named) continue;
    log_->Log(LogLevel::kWarn,
              "this module shows its credentials to whatever target a request of /probe names: "
              "give it a policy, or set --probe.credentials=named",
              {{"module", name}});
  }
}

// A worker's thread: nothing takes a reading while another goes on.
absl::StatusOr<Reading> Service::Read() {
  Reading reading;
  LoadOptions options;
  options.files = &files_;
  options.before = &current_;
  auto config = LoadFile(options_.config_file, options);
  if (!config.ok()) return config.status();
  reading.config = *std::move(config);
  reading.targets =
      LoadTargets(options_.targets, reading.config.unchanged ? current_.file : reading.config.file);
  return reading;
}

void Service::Take(absl::StatusOr<Reading> reading) {
  if (!reading.ok()) {
    self_.SetReload(false, Now());
    log_->Log(LogLevel::kError, "reload failed, the running configuration stays",
              {{"file", options_.config_file}});
    LogLines(*log_, LogLevel::kError, "configuration", std::string(reading.status().message()));
    return;
  }
  if (!reading->config.unchanged) TakeConfig(std::move(reading->config));
  TakeTargets(std::move(reading->targets));
  TakeTasks();
  self_.SetReload(true, Now());
  // What reading took is as large as the fleet, and nobody wants it until the next time.
  static_cast<void>(loop_->RunInWorker([] { malloc_trim(0); }, [] {}));
}

// Puts a loaded file in force. Loop thread.
void Service::TakeConfig(LoadedFile loaded) {
  LogLines(*log_, LogLevel::kWarn, "configuration", loaded.warnings);
  current_ = std::move(loaded);
  const TaskFile& file = current_.file;
  WarnOfRestart(Settings(file));
  WarnOfCredentials();
  engine_->SetLimits(Settings(file));
  SetBodyMemory(file.engine);
  engine_->SetPolicy(std::make_shared<ProbePolicy>(file.policy));
  site_->SetExternalLabels(file.external_labels);
  auto modules = std::make_shared<ProbeModules>();
  modules->usable = file.modules;
  modules->unusable = file.unusable_modules;
  modules->texts = file.module_texts;
  modules->config = ConfigText(file);
  probes_->SetModules(std::move(modules));
}

void Service::TakeTargets(absl::StatusOr<LoadedTargets> loaded) {
  if (options_.targets.files.empty()) return;
  self_.SetTargets(loaded.ok());
  if (!loaded.ok()) {
    log_->Log(LogLevel::kError, "targets cannot be read, the ones before stay");
    LogLines(*log_, LogLevel::kError, "targets", std::string(loaded.status().message()));
    return;
  }
  if (loaded->warnings != targets_.warnings) {
    LogLines(*log_, LogLevel::kWarn, "targets", loaded->warnings);
  }
  targets_ = *std::move(loaded);
}

void Service::TakeTasks() {
  std::vector<std::shared_ptr<const Task>> tasks = current_.file.tasks;
  tasks.insert(tasks.end(), targets_.tasks.begin(), targets_.tasks.end());
  TaskDelta delta = configuration_.Replace(tasks);
  configuration_.ShareValues(&current_.file.tasks);
  configuration_.ShareValues(&targets_.tasks);
  if (!ready_ || !delta.upserts.empty() || !delta.removals.empty()) {
    log_->Log(LogLevel::kInfo, "configuration loaded",
              {{"file", options_.config_file},
               {"tasks", std::to_string(configuration_.size())},
               {"changed", std::to_string(delta.upserts.size())},
               {"removed", std::to_string(delta.removals.size())}});
  }
  EngineSettings in_force = Settings(current_.file);
  in_force.shards = at_start_.shards;
  in_force.max_descriptors = at_start_.max_descriptors;
  headroom_.Plan(DemandOf(tasks), LimitsOf(in_force));
  catalog_.Apply(delta);
  engine_->Apply(std::move(delta));
}

void Service::Stop() {
  if (std::exchange(stopping_, true)) {
    loop_->Stop();  // the second signal does not wait
    return;
  }
  log_->Log(LogLevel::kInfo, "stopping");
  ticker_.reset();
  auto_reload_.reset();
  web_.Stop();
  probes_->CancelAll();
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

absl::StatusOr<ListenSockets> SocketsOf(const ServeOptions& options) {
  if (options.config_check) return ListenSockets();
  if (!options.systemd_socket) return ListenSockets::Bind(options.listen_addresses);
  if (options.external_url.empty()) {
    return absl::InvalidArgumentError("--web.systemd-socket needs --web.external-url");
  }
  const std::vector<int> inherited = InheritedSockets();
  if (inherited.empty()) return absl::FailedPreconditionError("systemd passed no socket");
  return ListenSockets::Inherit(inherited);
}

// What /probe may reach, and what is logged about it, by the flags.
absl::Status PrepareProbes(Logger& log, ServeOptions* options) {
  auto policy = std::make_shared<ProbePolicy>();
  for (const bool allow : {true, false}) {
    for (const std::string& rule : allow ? options->probe_allow : options->probe_deny) {
      if (!allow && rule == "none") continue;
      if (policy->Add(rule, allow)) continue;
      return absl::InvalidArgumentError(std::string(allow ? "--probe.allow" : "--probe.deny") +
                                        ": '" + rule + "' is no rule of a policy");
    }
  }
  options->probe.policy = std::move(policy);
  options->probe.guard_credentials = options->probe_credentials == "named";
  if (!FindLogLevel(options->log_prober)) {
    log.Log(LogLevel::kWarn, "--log.prober is no level, info counts",
            {{"level", options->log_prober}});
    options->log_prober = "info";
  }
  options->probe.log_level = *FindLogLevel(options->log_prober);
  return absl::OkStatus();
}

absl::StatusOr<Reading> FirstReading(const ServeOptions& options) {
  auto config = LoadFile(options.config_file, {});
  if (!config.ok()) return config.status();
  Reading reading;
  reading.config = *std::move(config);
  reading.targets = LoadTargets(options.targets, reading.config.file);
  if (!reading.targets.ok()) return reading.targets.status();
  return reading;
}

int SayGood(const ServeOptions& options, const Reading& reading) {
  std::fprintf(stderr, "%s%s", reading.config.warnings.c_str(), reading.targets->warnings.c_str());
  std::printf("%s: good, %zu tasks, %zu modules\n", options.config_file.c_str(),
              reading.config.file.tasks.size() + reading.targets->tasks.size(),
              reading.config.file.modules.size());
  return 0;
}

}  // namespace

std::string DefaultConfigFile() {
  return access("sonde.yml", F_OK) != 0 && access("blackbox.yml", F_OK) == 0 ? "blackbox.yml"
                                                                             : "sonde.yml";
}

int Serve(ServeOptions options) {
  // Whoever asks for a reload before we listen to it gets none, but does not end us either.
  std::signal(SIGHUP, SIG_IGN);
  if (options.config_file.empty()) options.config_file = DefaultConfigFile();
  auto sockets = SocketsOf(options);
  if (!sockets.ok()) return Fail(sockets.status());
  const auto kept = Unprivileged(options);
  if (!kept.ok()) return Fail(kept.status());
  auto log = MakeLogger(options.log_level, options.log_format);
  if (!log.ok()) return Fail(log.status());
  auto reading = FirstReading(options);
  if (!reading.ok()) return Fail(reading.status());
  if (options.config_check) return SayGood(options, *reading);

  if (absl::Status status = PrepareProbes(**log, &options); !status.ok()) return Fail(status);
  WebFile web(options.web_config_file, **log);
  if (absl::Status status = web.Load(); !status.ok()) return Fail(status);
  const bool tls = web.config() != nullptr && web.config()->tls != nullptr;
  auto address = WebAddress::Of(options.external_url, options.route_prefix,
                                options.listen_addresses, tls ? "https" : "http");
  if (!address.ok()) return Fail(address.status());
  auto probe_log = MakeLogger(options.log_prober, options.log_format);
  if (!probe_log.ok()) return Fail(probe_log.status());
  (*log)->Log(LogLevel::kInfo, "starting",
              {{"version", ThisBuild().version}, {"capabilities", *kept}});
  Service service(options, *std::move(address), *std::move(log), *std::move(probe_log), web);
  const absl::Status started = service.Start(*std::move(reading), *std::move(sockets));
  if (!started.ok()) return Fail(started);
  service.Run();
  return 0;
}

}  // namespace sonde
