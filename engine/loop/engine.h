// The probing engine: tasks in, results out. Owns the shards' threads; decides which task lives
// where and what share of the limits each shard has.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/contract/engine_stats.h"
#include "engine/contract/probe_policy.h"
#include "engine/contract/settings.h"
#include "engine/contract/task_set.h"
#include "engine/loop/file_watcher.h"
#include "engine/loop/shard_thread.h"

namespace sonde {

class Engine final : public TaskSet, public Runner, public EngineStats {
 public:
  struct Options {
    EngineSettings settings;
    size_t descriptors_reserve = 512;  // of RLIMIT_NOFILE, for everything but probes
    bool pin = false;                  // shard i stays on the i-th CPU this process may use
    ResolverOptions resolver;
    std::string hosts_file = "/etc/hosts";
    std::shared_ptr<const ProbePolicy> policy;  // null: everything is allowed
  };

  // Raises the soft limit of descriptors to the hard one, then starts the shards. `files` and
  // `sink` outlive the engine; `sink` (may be null) is called by every shard's thread. The engine
  // watches the hosts file and resolv.conf through `files`.
  static absl::StatusOr<std::unique_ptr<Engine>> Start(const Options& options, FileWatcher& files,
                                                       ResultSink* sink);
  ~Engine() override;

  // Control thread. A large delta reaches its shards in pieces, over several turns.
  void Apply(TaskDelta delta) override;

  // Any thread. When the engine has stopped, or too many messages wait for the shard, `done` is
  // called at once on the caller's thread (prober/cancelled, prober/busy).
  uint64_t RunNow(std::shared_ptr<const Task> task, std::function<void(Answer)> done) override;
  void Cancel(uint64_t run) override;

  // Control thread; both take effect in each shard's next turn. The number of shards and
  // `max_descriptors` stay as they were at the start.
  void SetLimits(const EngineSettings& settings);
  void SetPolicy(std::shared_ptr<const ProbePolicy> policy);

  std::vector<ShardStats> Snapshot() const override;

  // Ends every run as prober/cancelled, forgets all tasks and joins the threads. Idempotent.
  void Stop();

  // What is left for probes of a process's limit of descriptors.
  static size_t DescriptorsFor(size_t limit, const EngineSettings& settings, size_t reserve);

  size_t shards() const { return threads_->size(); }
  unsigned ShardOf(uint64_t task_id) const;

 private:
  using Threads = std::vector<std::unique_ptr<ShardThread>>;
  static constexpr size_t kPiece = 256;  // changes per message

  Engine() = default;
  void Watch(const Options& options, FileWatcher& files);

  // Listeners of the file watcher hold it weakly: they may be called until `files` goes.
  std::shared_ptr<Threads> threads_ = std::make_shared<Threads>();
  std::atomic<uint64_t> next_run_{1};
};

// A shard's share of the process's limits: rounded up, so that no share is zero. A destination's
// limits are divided too; its tasks may live on several shards.
ShardLimits ShareOf(const EngineSettings& settings, size_t shards);

}  // namespace sonde
