// What a task at rest and a probe in flight take, so that growth is a decision and not an accident.
// bench/memory_report measures the same through malloc, with everything around it.
#include <gtest/gtest.h>
#include <malloc.h>
#include <openssl/crypto.h>

#include <atomic>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/shard/shard.h"
#include "protocols/registry.h"
#include "store/task_file.h"
#include "tests/support/allocation_counter.h"
#include "tests/support/still_network.h"
#include "tests/support/test_certificates.h"
#include "tests/support/tls_server.h"

namespace sonde {
namespace {

constexpr size_t kTasks = 10'000;
constexpr WallTime kStart{1'790'000'000'000'000'000};

struct Grounds {
  explicit Grounds(size_t most_streams) : network(most_streams) {
    Shard::Options options;
    options.start = network.now;
    options.wall_minus_mono = Duration{kStart.ns - network.now.ns};
    options.limits.in_flight = 1'000'000;
    shard = std::make_unique<Shard>(options, network, nullptr, nullptr);
  }
  // Turns until every task's first run is in the air. Slots are 60 s apart, time-outs 100 s.
  void StartProbes(size_t probes) {
    for (int turn = 0; turn < 20'000 && shard->in_flight() < probes; ++turn) {
      network.now = network.now + Milliseconds(10);
      shard->BeginTurn(network.now);
      shard->EndTurn(network.now, {kStart.ns + (network.now - Instant{Seconds(1'000).ns}).ns});
    }
    ASSERT_EQ(shard->in_flight(), probes);
  }
  StillNetwork network;
  std::unique_ptr<Shard> shard;
};

// Of a task of this kind at this address: type, target, block.
std::string Line(std::string_view kind, const std::string& at) {
  if (kind == "http") return "type: http, target: 'http://" + at + "/'";
  if (kind == "icmp") return "type: icmp, target: '" + at + "'";
  if (kind == "dns") return "type: dns, target: www.farm.test, dns: {server: '" + at + ":53'}";
  if (kind == "https") {
    return "type: http, target: 'https://" + at +
           "/', http: {tls_config: {insecure_skip_verify: true}, preferred_ip_protocol: ip4}";
  }
  return "type: tcp, target: '" + at + ":80'";
}

// `count` tasks of one kind, each with an address of its own.
std::vector<std::shared_ptr<const Task>> Tasks(std::string_view kind, size_t count,
                                               const std::string& metrics = "recent: false") {
  std::string text = "metrics: {" + metrics + "}\ntasks:\n";
  for (size_t i = 0; i < count; ++i) {
    const std::string at = "10.0." + std::to_string(i / 250) + "." + std::to_string(1 + i % 250);
    text += "- {name: shop-health-" + std::to_string(i) + ", " + Line(kind, at) +
            ", interval: 60s, timeout: 100s}\n";
  }
  Diagnostics diagnostics;
  TaskFile file = ReadTaskFile(text, Probers(), diagnostics);
  EXPECT_TRUE(diagnostics.ok()) << diagnostics.ToString("text");
  return std::move(file.tasks);
}

double PerTask(uint64_t count) { return static_cast<double>(count) / static_cast<double>(kTasks); }

TEST(MemoryTest, SizesArePinned) {
  EXPECT_LE(sizeof(Tally), 736u);
  EXPECT_LE(sizeof(TaskRecord), sizeof(Tally) + 16);
  EXPECT_LE(sizeof(ResultRing), 488u);       // on top, where `recent` is wanted
  EXPECT_LE(sizeof(NativeHistogram), 400u);  // on top, where `native` is
  EXPECT_LE(Shard::bytes_per_task(), 144u);
  EXPECT_LE(sizeof(ProbeResult), 288u);
  EXPECT_LE(sizeof(Task), 240u);
  const Grounds grounds(0);
  EXPECT_LE(grounds.shard->bytes_per_slot(), 1408u);
}

// The design's budget: engine and tally of a task within 1 KiB.
TEST(MemoryTest, AnIdleTaskTakesAKibibyteOfEngineAndTally) {
  if (!kCountsAllocations) GTEST_SKIP();
  const auto tasks = Tasks("tcp", kTasks);
  Grounds grounds(0);
  const AllocationCount before = ThreadAllocations();
  for (const auto& task : tasks) {
    grounds.shard->Apply({std::make_shared<TaskRecord>(task), task});
  }
  const AllocationCount taken = ThreadAllocations() - before;
  EXPECT_LE(PerTask(taken.bytes), 1024);
  // The record, the entry, its place; the table of places grows now and then.
  EXPECT_LE(PerTask(taken.allocations), 3.01);
}

// The optional parts: what a task asks for, when its record is made, and nothing otherwise.
TEST(MemoryTest, OptionalPartsAreTakenWhereTheyAreWanted) {
  if (!kCountsAllocations) GTEST_SKIP();
  const auto bytes = [](const std::string& metrics) {
    const auto tasks = Tasks("tcp", 1, metrics);
    const AllocationCount before = ThreadAllocations();
    const auto record = std::make_shared<TaskRecord>(tasks.front());
    return (ThreadAllocations() - before).bytes;
  };
  const uint64_t without = bytes("recent: false");
  EXPECT_EQ(bytes("recent: true") - without, sizeof(ResultRing));
  EXPECT_EQ(bytes("recent: false, families: [native]") - without, sizeof(NativeHistogram));
  EXPECT_EQ(bytes("recent: true, families: [native]") - without,
            sizeof(ResultRing) + sizeof(NativeHistogram));
}

// Runs that come and go take nothing; only a new height of runs in flight does: its slot, and of
// datagrams its place in the table answers are matched by.
TEST(MemoryTest, AProbeInFlightTakesItsSlot) {
  if (!kCountsAllocations) GTEST_SKIP();
  for (const std::string_view kind : {"tcp", "http", "dns", "icmp"}) {
    Grounds grounds(kTasks);
    for (const auto& task : Tasks(kind, kTasks)) {
      grounds.shard->Apply({std::make_shared<TaskRecord>(task), task});
    }
    const int64_t held = HeldBytes();
    const AllocationCount before = ThreadAllocations();
    grounds.StartProbes(kTasks);
    if (kind == "http") {  // the request is on its way, the answer awaited
      for (const StillNetwork::Stream& stream : grounds.network.streams) {
        grounds.shard->events().OnConnected(stream.slot, grounds.network.now);
      }
      ASSERT_EQ(grounds.shard->in_flight(), kTasks);
    }
    EXPECT_LE(PerTask(static_cast<uint64_t>(HeldBytes() - held)), 2048) << kind;
    EXPECT_LE(PerTask((ThreadAllocations() - before).allocations), 1.01) << kind;
    RecordProperty(std::string(kind), static_cast<int>(HeldBytes() - held) / int{kTasks});
  }
}

// What OpenSSL holds, which takes its memory by malloc. It takes none before main.
std::atomic<int64_t> openssl_bytes{0};
void* CryptoTake(size_t size, const char*, int) {
  void* block = std::malloc(size);
  if (block != nullptr) openssl_bytes += static_cast<int64_t>(malloc_usable_size(block));
  return block;
}
void CryptoGive(void* block, const char*, int) {
  if (block != nullptr) openssl_bytes -= static_cast<int64_t>(malloc_usable_size(block));
  std::free(block);
}
void* CryptoResize(void* block, size_t size, const char*, int) {
  if (block != nullptr) openssl_bytes -= static_cast<int64_t>(malloc_usable_size(block));
  block = std::realloc(block, size);
  if (block != nullptr) openssl_bytes += static_cast<int64_t>(malloc_usable_size(block));
  return block;
}
const bool kCountsCrypto = CRYPTO_set_mem_functions(CryptoTake, CryptoResize, CryptoGive) == 1;

// A handshake under way, and a request that waits for its answer: 50 KiB with all that OpenSSL
// keeps for them, which is nearly all of it.
TEST(MemoryTest, AProbeOverTlsTakesFiftyKibibytes) {
  ASSERT_TRUE(kCountsCrypto);
  if (!kCountsAllocations) GTEST_SKIP();
  constexpr size_t kProbes = 100;
  TlsServerOptions options;
  options.chain = {TestCertificates::Get().by_intermediate, TestCertificates::Get().intermediate};
  const auto held = [] { return HeldBytes() + openssl_bytes.load(); };
  // The first ones make what all share: contexts, tables.
  for (const bool warm : {true, false}) {
    Grounds grounds(kProbes);
    for (const auto& task : Tasks("https", kProbes)) {
      grounds.shard->Apply({std::make_shared<TaskRecord>(task), task});
    }
    StillNetwork& network = grounds.network;
    const int64_t before = held();
    grounds.StartProbes(kProbes);
    network.keep_sent = true;
    for (StillNetwork::Stream& stream : network.streams) {
      grounds.shard->events().OnConnected(stream.slot, network.now);
    }
    if (!warm) { EXPECT_LE((held() - before) / int64_t{kProbes}, 50 * 1024) << "hello sent"; }
    for (StillNetwork::Stream& stream : network.streams) {
      TlsServer server(options);
      while (!stream.sent.empty()) {
        stream.received = server.Feed(std::exchange(stream.sent, {}));
        grounds.shard->events().OnReadable(stream.slot, network.now);
      }
      stream.sent.shrink_to_fit();
      stream.received = {};
    }
    ASSERT_EQ(grounds.shard->in_flight(), kProbes);
    if (!warm) { EXPECT_LE((held() - before) / int64_t{kProbes}, 50 * 1024) << "request sent"; }
  }
}

}  // namespace
}  // namespace sonde
