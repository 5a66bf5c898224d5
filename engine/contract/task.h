// A Task is an immutable, validated value: everything that wants probing becomes one.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/contract/config_node.h"
#include "engine/contract/conversation.h"
#include "engine/contract/fact.h"
#include "engine/contract/metrics_settings.h"
#include "engine/contract/probe_policy.h"
#include "engine/contract/schedule.h"

namespace sonde {

class Prober;

// The options of one module, parsed once, shared by every task that names it. Each protocol derives
// its own. Immutable after parsing; read on every shard.
struct Module {
  virtual ~Module() = default;
  std::string name;  // "" for a task's inline options
  const Prober* prober = nullptr;
  Duration timeout{};              // 0: unset
  MetricsSettings metrics;         // of its tasks, in place of the file's
  bool has_credentials = false;    // probes show the target a secret
  std::vector<std::string> files;  // every path the options name, for Files::Watch
  uint64_t content_hash = 0;       // equal hash = equal options; used to tell changed tasks
  // A key of blackbox_exporter's that does not work yet: no probe can be made. "" for none.
  std::string unsupported;

  // What every run reads is together: from here on, and the first of what a protocol adds.
  // Where probes with these options may go, besides the process's policy. Null: anywhere.
  std::shared_ptr<const ProbePolicy> policy;
  NetworkOptions network;

  // Of the first leg, where that speaks TLS; null: there is none.
  virtual const TlsProfile* first_tls() const { return nullptr; }
  // How long after it was opened a connection carries further runs (LegPlan::keep).
  virtual Duration keeps() const { return {}; }
};

// What is the task's own after parsing: the target taken apart, cached request bytes, the short
// `expect` form. Each protocol derives its own.
struct TargetPlan {
  virtual ~TargetPlan() = default;
  std::string destination;       // "host:port", or a host: key of the per-destination limits
  bool needs_handshake = false;  // the first leg speaks TLS: admission counts it
  bool needs_descriptor = true;  // false: the first leg is one of datagrams, over shared sockets
  Duration needs_longer_than{};  // a time-out up to this cuts every probe short: warned of
};

struct Task {
  // What a run reads, together: in a large fleet each line of it is a cache miss.
  static constexpr size_t kBytesOfRuns = 112;
  uint64_t id = 0;  // hash of the name for tasks of a file
  const Prober* prober = nullptr;
  std::shared_ptr<const Module> module;
  std::shared_ptr<const TargetPlan> plan;
  Schedule schedule;
  Duration timeout = Seconds(5);
  std::shared_ptr<const ProbePolicy> policy;  // of a run on request; null: none of its own
  // A run on request asks the name servers themselves, and may be kept from more than the process's
  // policy forbids.
  bool fresh_names = false;
  bool enabled = true;
  TaskMetrics metrics;

  std::string name;    // unique
  std::string target;  // as written
  std::string application;
  std::vector<std::pair<std::string, std::string>> labels;  // sorted by name, names unique and free
  uint64_t version = 0;  // hash of everything above; equal version = same task
};

// What a run that goes well reports: for counting series ahead of any run, not for judging.
struct UsualReport {
  FactSet facts;       // their values mean nothing
  uint32_t texts = 0;  // bit n: the text family of that number

  void Add(TextFamily family) { texts |= 1u << static_cast<unsigned>(family); }
};

// A protocol's entry in the registry: stateless, one constant object per protocol. Parsing runs on
// the loader's thread, Make on shards.
class Prober {
 public:
  virtual ~Prober() = default;

  virtual std::string_view name() const = 0;  // "http": label value `type`

  // False: its options are read and checked, and nothing can be probed with it.
  virtual bool usable() const { return true; }

  // The prober's block of a module (`http: {...}`); null or absent block = all defaults. Reports
  // into `diagnostics` under `path`; returns null when there was an error.
  virtual std::shared_ptr<Module> ParseModule(const ConfigNode* block, const std::string& path,
                                              Diagnostics& diagnostics) const = 0;

  // What is wrong with a block of `modules:` that would be good as a task's own; "" for nothing.
  // There blackbox_exporter's rules hold, and a file it refuses is refused.
  virtual std::string SharedFault(const Module&) const { return ""; }

  // The task's own part. `expect` may be null; `mark` is where the target stood. Null on error.
  virtual std::shared_ptr<const TargetPlan> ParseTarget(std::string_view target, Mark mark,
                                                        const ConfigNode* expect,
                                                        const Module& module,
                                                        const std::string& path,
                                                        Diagnostics& diagnostics) const = 0;

  // ---- /probe ----
  // The Host header the module sets; "" when it sets none. Another `hostname` contradicts it.
  virtual std::string_view HostOf(const Module& module) const;

  // ParseTarget where the request names the host itself (`hostname`, blackbox_contract 2.1).
  // Default: the name changes nothing.
  virtual std::shared_ptr<const TargetPlan> ParseTargetAs(std::string_view hostname,
                                                          std::string_view target,
                                                          const Module& module,
                                                          Diagnostics& diagnostics) const;

  // What is shown of a target that could not be taken apart: the families that are always there
  // (blackbox_contract 7).
  virtual FactSet BareFacts() const;

  // What its runs usually report. Where only the peer decides, it is left out. Default: what every
  // probe over a network has, and the families named after this prober.
  virtual UsualReport Usual(const Task& task) const;

  // Builds the conversation in `place` (kConversationBytes, max-aligned). The task outlives it.
  virtual Conversation* Make(void* place, const Task& task,
                             const ConversationContext& context) const = 0;
};

// The id of a task that has no other: SipHash of its name. Never 0.
uint64_t TaskIdOf(std::string_view name);

}  // namespace sonde
