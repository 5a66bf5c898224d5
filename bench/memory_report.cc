// What sonde takes of memory: bytes per idle task and per probe in flight. Not a timed bench: it
// loads a fleet through the code production runs, holds probes in the air over a network that
// stands still, and reads what malloc has handed out (uordblks + hblkhd) before and after.
//   memory_report [TASKS] [PROBES]        (default 100000 2000)
#include <malloc.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/shard/shard.h"
#include "exporter/catalog.h"
#include "protocols/registry.h"
#include "store/task_file.h"
#include "tests/support/still_network.h"
#include "tests/support/test_certificates.h"
#include "tests/support/tls_server.h"
#include "tools/sonde/configuration.h"

namespace sonde {
namespace {

// What the kernel holds beside it, measured once: 5.1 KB of slab per socket in SYN_SENT.
constexpr double kKernelBytes = 5100;

size_t Taken() {
  const struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

constexpr WallTime kStart{1'790'000'000'000'000'000};

Shard::Options ShardOptions(const StillNetwork& network) {
  Shard::Options options;
  options.start = network.now;
  options.wall_minus_mono = Duration{kStart.ns - network.now.ns};
  options.limits.in_flight = 1'000'000;
  return options;
}

TaskFile Load(const std::string& text) {
  Diagnostics diagnostics;
  TaskFile file = ReadTaskFile(text, Probers(), diagnostics);
  if (!diagnostics.ok()) {
    std::fputs(diagnostics.ToString("memory_report").c_str(), stderr);
    std::exit(1);
  }
  return file;
}

// ---- idle ---------------------------------------------------------------------------------------

// As people write them: a third of the tasks carries labels, all have an application.
std::string Fleet(size_t tasks, const std::string& metrics) {
  std::string text =
      "metrics: {" + metrics +
      "}\nmodules:\n  api: {prober: http, http: {valid_status_codes: [200]}}\ntasks:\n";
  for (size_t i = 0; i < tasks; ++i) {
    const std::string n = std::to_string(i);
    if (i % 2 == 0) {
      text += "- {name: shop-health-" + n + ", type: http, target: 'http://shop-" + n +
              ".example/health', application: shop, module: api, interval: 15s";
    } else {
      text += "- {name: port-" + n + ", type: tcp, target: 'host-" + n +
              ".example:6379', application: cache, interval: 15s";
    }
    text += i % 3 == 0 ? ", labels: {team: web}}\n" : "}\n";
  }
  return text;
}

void Row(const char* what, double bytes) { std::printf("  %-46s %8.0f\n", what, bytes); }

void ReportIdle(size_t tasks) {
  const auto per_task = [tasks](size_t from, size_t to) {
    return (static_cast<double>(to) - static_cast<double>(from)) / static_cast<double>(tasks);
  };
  const size_t before = Taken();
  TaskFile file;
  {
    const std::string text = Fleet(tasks, "recent: false");
    file = Load(text);
  }
  const size_t loaded = Taken();
  Configuration configuration;
  TaskDelta delta = configuration.Replace(file.tasks);
  const size_t replaced = Taken();
  Catalog catalog;
  catalog.Apply(delta);
  const size_t shown = Taken();
  StillNetwork network(0);
  auto shard = std::make_unique<Shard>(ShardOptions(network), network, nullptr, nullptr);
  const size_t empty = Taken();
  for (TaskDelta::Upsert& upsert : delta.upserts) shard->Apply(std::move(upsert));
  const size_t applied = Taken();
  const size_t delta_bytes = delta.upserts.capacity() * sizeof(TaskDelta::Upsert);

  std::printf("Idle task (bytes, %zu tasks, half http, half tcp)\n", tasks);
  Row("task: value, target plan, texts", per_task(before, loaded));
  Row("record: tally, its place in the configuration", per_task(loaded + delta_bytes, replaced));
  Row("  of that the tally itself", sizeof(Tally));
  Row("exporter: label text, entry", per_task(replaced, shown));
  Row("shard: timer, state, its place in the shard", per_task(empty, applied));
  Row("  of that the entry itself", static_cast<double>(Shard::bytes_per_task()));
  Row("together", per_task(before + delta_bytes, applied));
  Row("engine and tally alone",
      per_task(loaded + delta_bytes, replaced) + per_task(empty, applied));
}

// What malloc hands out for a tally's optional parts: they come with the records.
void ReportOptionalParts(size_t tasks) {
  const auto records = [tasks](const std::string& metrics) {
    const TaskFile file = Load(Fleet(tasks, metrics));
    const size_t before = Taken();
    Configuration configuration;
    const TaskDelta delta = configuration.Replace(file.tasks);
    return static_cast<double>(Taken() - before) / static_cast<double>(tasks);
  };
  std::printf("\nOptional parts of a tally (bytes a task that has them)\n");
  const double without = records("recent: false");
  Row("ring of last results (recent: true)", records("recent: true") - without);
  Row("  of that the ring itself", sizeof(ResultRing));
  Row("native histogram (families: [..., native])",
      records("recent: false, families: [native]") - without);
  Row("  of that the histogram itself", sizeof(NativeHistogram));
}

// ---- in flight ----------------------------------------------------------------------------------

struct Kind {
  const char* name;
  const char* task;    // what a task's line says beside its name and address
  const char* before;  // what stands around its address
  const char* behind;
  enum class Stage { kStarted, kOpen, kHandshaking, kSecured } stage;
};

constexpr const char* kPlain = "type: http";
constexpr const char* kTls =
    "type: http, http: {tls_config: {insecure_skip_verify: true}, preferred_ip_protocol: ip4}";

constexpr const char* kDns = "type: dns, dns: {query_name: www.farm.test}";

constexpr Kind kKinds[] = {
    {"tcp, connecting", "type: tcp", "", ":80", Kind::Stage::kStarted},
    {"http, connecting", kPlain, "http://", "/", Kind::Stage::kStarted},
    {"http, waiting for the answer", kPlain, "http://", "/", Kind::Stage::kOpen},
    {"dns, question sent", kDns, "", ":53", Kind::Stage::kStarted},
    {"icmp, request sent", "type: icmp", "", "", Kind::Stage::kStarted},
    {"https, hello sent", kTls, "https://", "/", Kind::Stage::kHandshaking},
    {"https, waiting for the answer", kTls, "https://", "/", Kind::Stage::kSecured},
};

class Flight {
 public:
  Flight(const Kind& kind, size_t probes)
      : network_(probes),
        shard_(std::make_unique<Shard>(ShardOptions(network_), network_, nullptr, nullptr)) {
    std::string text = "tasks:\n";
    for (size_t i = 0; i < probes; ++i) {
      const std::string at = "10.0." + std::to_string(i / 250) + "." + std::to_string(1 + i % 250);
      text += "- {name: p" + std::to_string(i) + ", target: '" + kind.before + at + kind.behind +
              "', interval: 60s, timeout: 100s, " + kind.task + "}\n";
    }
    for (const auto& task : Load(text).tasks) {
      shard_->Apply({std::make_shared<TaskRecord>(task), task});
    }
  }

  // Brings every probe to the kind's stage.
  bool Start(const Kind& kind, size_t probes) {
    for (int turn = 0; turn < 100'000 && shard_->in_flight() < probes; ++turn) {
      network_.now = network_.now + Milliseconds(10);
      shard_->BeginTurn(network_.now);
      shard_->EndTurn(network_.now, {kStart.ns + network_.now.ns - Seconds(1'000).ns});
    }
    if (kind.stage == Kind::Stage::kStarted) return shard_->in_flight() == probes;
    network_.keep_sent = kind.stage == Kind::Stage::kSecured;
    for (size_t i = 0; i < network_.streams.size(); ++i) {
      shard_->events().OnConnected(network_.streams[i].slot, network_.now);
      if (kind.stage == Kind::Stage::kSecured) Secure(network_.streams[i]);
    }
    return shard_->in_flight() == probes;
  }

 private:
  // A server for the time of the handshake: what stays is the client's side.
  void Secure(StillNetwork::Stream& stream) {
    TlsServerOptions options;
    options.chain = {TestCertificates::Get().by_intermediate, TestCertificates::Get().intermediate};
    TlsServer server(options);
    while (!stream.sent.empty()) {
      stream.received = server.Feed(std::exchange(stream.sent, {}));
      shard_->events().OnReadable(stream.slot, network_.now);
    }
    stream.sent.shrink_to_fit();
    stream.received = {};
  }

  StillNetwork network_;
  std::unique_ptr<Shard> shard_;
};

bool ReportFlights(size_t probes) {
  std::printf("\nProbe in flight (bytes of user space, %zu at once; the kernel's %.0f apart)\n",
              probes, kKernelBytes);
  bool good = true;
  for (const Kind& kind : kKinds) {
    {
      Flight warm(kind, 2);  // contexts and tables OpenSSL makes once
      good = warm.Start(kind, 2) && good;
    }
    Flight flight(kind, probes);
    const size_t before = Taken();
    if (!flight.Start(kind, probes)) {
      std::printf("  %s: not all probes are in flight\n", kind.name);
      good = false;
    }
    Row(kind.name,
        (static_cast<double>(Taken()) - static_cast<double>(before)) / static_cast<double>(probes));
  }
  StillNetwork network(0);
  const Shard shard(ShardOptions(network), network, nullptr, nullptr);
  Row("  of each the slot itself", static_cast<double>(shard.bytes_per_slot()));
  return good;
}

}  // namespace
}  // namespace sonde

int main(int argc, char** argv) {
  const auto number = [&](int i, size_t otherwise) {
    return argc > i ? static_cast<size_t>(std::strtoul(argv[i], nullptr, 10)) : otherwise;
  };
  mallopt(M_ARENA_MAX, 1);
  sonde::ReportIdle(number(1, 100'000));
  sonde::ReportOptionalParts(number(1, 100'000));
  return sonde::ReportFlights(number(2, 2'000)) ? 0 : 1;
}
