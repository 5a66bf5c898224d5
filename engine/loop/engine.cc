#include "engine/loop/engine.h"

#include <sys/random.h>
#include <sys/resource.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/status/status.h"
#include "engine/contract/schedule.h"
#include "engine/loop/hosts_table.h"
#include "engine/loop/thread_setup.h"
#include "engine/loop/uring.h"
#include "engine/shard/tls_channel.h"

namespace sonde {
namespace {

constexpr unsigned kMostShards = 256;

// Descriptors probes may use, of all shards together.
absl::StatusOr<size_t> ProbeDescriptors(const Engine::Options& options) {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return absl::ErrnoToStatus(errno, "RLIMIT_NOFILE");
  if (limit.rlim_cur < limit.rlim_max) {
    rlimit raised = limit;
    raised.rlim_cur = raised.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &raised) == 0) limit = raised;
  }
  return Engine::DescriptorsFor(limit.rlim_cur, options.settings, options.descriptors_reserve);
}

// Direct descriptors count against no limit: what bounds them is max_in_flight, which may change.
void UseUring(const Engine::Options& options, unsigned shards, ShardThread::Options* shard) {
  constexpr size_t kMostStreams = 1 << 20, kLeastTable = 1024;
  const size_t most = options.settings.max_descriptors;
  shard->uring_streams = most == 0 ? kMostStreams : std::max<size_t>(1, most / shards);
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  shard->uring_table = std::min<size_t>(std::max(shard->limits.in_flight, kLeastTable),
                                        std::min<size_t>(limit.rlim_cur, kMostStreams));
}

uint64_t RandomSeed() {
  uint64_t seed = 0;
  if (getrandom(&seed, sizeof seed, 0) != sizeof seed) {
    seed = static_cast<uint64_t>(MonotonicNow().ns);
  }
  return seed;
}

size_t Share(size_t all, size_t shards) { return (all + shards - 1) / shards; }

}  // namespace

size_t Engine::DescriptorsFor(size_t limit, const EngineSettings& settings, size_t reserve) {
  const size_t all = std::min<size_t>(limit, 1 << 22);
  // A small limit is shared fairly instead of refused.
  const size_t left = all - std::min(reserve, all / 2);
  return settings.max_descriptors != 0 ? std::min(left, settings.max_descriptors) : left;
}

ShardLimits ShareOf(const EngineSettings& settings, size_t shards) {
  ShardLimits limits;
  limits.in_flight = std::max<size_t>(1, Share(settings.max_in_flight, shards));
  limits.handshakes = Share(settings.max_handshakes, shards);
  limits.destination_in_flight = Share(settings.per_destination.max_in_flight, shards);
  limits.destination_rate = settings.per_destination.rate / static_cast<double>(shards);
  return limits;
}

absl::StatusOr<std::unique_ptr<Engine>> Engine::Start(const Options& options, FileWatcher& files,
                                                      ResultSink* sink) {
  const absl::StatusOr<size_t> descriptors = ProbeDescriptors(options);
  if (!descriptors.ok()) return descriptors.status();
  TlsContexts::LoadSystemRoots();
  const std::vector<int> cpus = UsableCpus();
  unsigned count = options.settings.shards;
  if (count == 0) count = static_cast<unsigned>(cpus.size());
  count = std::min(count, kMostShards);

  std::unique_ptr<Engine> engine(new Engine);
  files.Watch(options.hosts_file);
  ShardThread::Options shard;
  shard.limits = ShareOf(options.settings, count);
  shard.max_descriptors = std::max<size_t>(1, *descriptors / count);
  shard.transmit_stamps = options.settings.transmit_stamps;
  shard.resolver = options.resolver;
  shard.hosts = HostsTable::Parse(files.Find(options.hosts_file)->data);
  shard.policy = options.policy;
  if (options.settings.io == EngineSettings::Io::kUring) {
    if (const absl::Status why = Uring::Supported(); !why.ok()) {
      return absl::Status(why.code(), "engine.io: io_uring cannot be used here (" +
                                          std::string(why.message()) + "); io: epoll can");
    }
    UseUring(options, count, &shard);
  }
  for (unsigned i = 0; i < count; ++i) {
    shard.index = i;
    shard.random_seed = RandomSeed();
    shard.cpu = options.pin ? cpus[i % cpus.size()] : -1;
    auto thread = ShardThread::Start(shard, &files, sink);
    if (!thread.ok()) return thread.status();
    engine->threads_->push_back(*std::move(thread));
  }
  engine->Watch(options, files);
  return engine;
}

// Parsing happens on the watcher's thread; shards only exchange a pointer.
void Engine::Watch(const Options& options, FileWatcher& files) {
  const std::weak_ptr<Threads> weak = threads_;
  files.OnChange(options.hosts_file, [weak](const FileContent& content) {
    const std::shared_ptr<Threads> threads = weak.lock();
    if (!threads) return;
    const auto hosts = HostsTable::Parse(content.data);
    for (auto& thread : *threads) {
      thread->Post([hosts](ShardThread::Parts parts) { parts.resolver.SetHosts(hosts); });
    }
  });
  const std::string resolv_conf =
      options.resolver.resolv_conf.empty() ? "/etc/resolv.conf" : options.resolver.resolv_conf;
  files.OnChange(resolv_conf, [weak](const FileContent&) {
    const std::shared_ptr<Threads> threads = weak.lock();
    if (!threads) return;
    for (auto& thread : *threads) {
      thread->Post([](ShardThread::Parts parts) { parts.resolver.ReloadSystemServers(); });
    }
  });
}

Engine::~Engine() { Stop(); }

void Engine::Stop() {
  for (auto& thread : *threads_) thread->Stop();
}

unsigned Engine::ShardOf(uint64_t task_id) const {
  // The upper half: the lower decides the phase within the interval.
  return static_cast<unsigned>((PhaseHash(task_id) >> 32) % threads_->size());
}

void Engine::Apply(TaskDelta delta) {
  struct Piece {
    std::vector<TaskDelta::Upsert> upserts;
    std::vector<uint64_t> removals;
  };
  std::vector<Piece> pieces(threads_->size());
  const auto send = [&](size_t shard) {
    (*threads_)[shard]->Post([piece = std::move(pieces[shard])](ShardThread::Parts parts) {
      for (const uint64_t id : piece.removals) parts.shard.Remove(id);
      for (const TaskDelta::Upsert& upsert : piece.upserts) parts.shard.Apply(upsert);
    });
    pieces[shard] = {};
  };
  for (const uint64_t id : delta.removals) {
    const unsigned shard = ShardOf(id);
    pieces[shard].removals.push_back(id);
    if (pieces[shard].removals.size() == kPiece) send(shard);
  }
  for (TaskDelta::Upsert& upsert : delta.upserts) {
    const unsigned shard = ShardOf(upsert.task->id);
    pieces[shard].upserts.push_back(std::move(upsert));
    if (pieces[shard].upserts.size() == kPiece) send(shard);
  }
  for (size_t shard = 0; shard < pieces.size(); ++shard) {
    if (!pieces[shard].upserts.empty() || !pieces[shard].removals.empty()) send(shard);
  }
}

uint64_t Engine::RunNow(std::shared_ptr<const Task> task, std::function<void(Answer)> done) {
  // The number says which shard to ask when it is to be cancelled.
  const unsigned shard = ShardOf(task->id);
  const uint64_t run = next_run_.fetch_add(1, std::memory_order_relaxed) * threads_->size() + shard;
  const ShardThread::Posted posted = (*threads_)[shard]->TryPost(
      [run, task, done](ShardThread::Parts parts) { parts.shard.RunNow(run, task, done); });
  if (posted != ShardThread::Posted::kTaken) {
    Answer answer;
    answer.result.started = answer.result.due = WallNow();
    answer.result.outcome =
        posted == ShardThread::Posted::kFull ? Outcome::kProberBusy : Outcome::kProberCancelled;
    answer.result.facts.Set(Fact::kSuccess, 0);
    answer.result.facts.Set(Fact::kDuration, 0);
    answer.result.facts.Set(Fact::kTimeout, task->timeout.seconds());
    done(std::move(answer));
  }
  return run;
}

void Engine::Cancel(uint64_t run) {
  (*threads_)[run % threads_->size()]->Post(
      [run](ShardThread::Parts parts) { parts.shard.CancelRun(run); });
}

void Engine::SetLimits(const EngineSettings& settings) {
  const ShardLimits limits = ShareOf(settings, threads_->size());
  for (auto& thread : *threads_) {
    thread->Post([limits](ShardThread::Parts parts) { parts.shard.SetLimits(limits); });
  }
}

void Engine::SetPolicy(std::shared_ptr<const ProbePolicy> policy) {
  for (auto& thread : *threads_) {
    thread->Post([policy](ShardThread::Parts parts) { parts.shard.SetPolicy(policy); });
  }
}

std::vector<ShardStats> Engine::Snapshot() const {
  std::vector<ShardStats> all;
  all.reserve(threads_->size());
  for (const auto& thread : *threads_) all.push_back(thread->Stats());
  return all;
}

}  // namespace sonde
