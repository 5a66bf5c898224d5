// Between due and result nothing is taken from the heap: the real shard, registry and sockets,
// turned by hand on one thread against listeners of the same thread.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/loop/clock_watch.h"
#include "engine/loop/epoll_network.h"
#include "engine/loop/socket_address.h"
#include "engine/shard/shard.h"
#include "protocols/registry.h"
#include "store/task_file.h"
#include "tests/support/allocation_counter.h"

namespace sonde {
namespace {

constexpr size_t kTasks = 100;  // 1,000 runs a second
constexpr size_t kMostInFlight = 8;
// One for each slot that may be used for the first time meanwhile, and one in which none is.
constexpr int kAttempts = kMostInFlight + 1;
constexpr Duration kPatience = Seconds(60);

// Accepts without waiting; answers what was asked with a fixed text; allocates nothing.
class Peer {
 public:
  // `answer` empty: says nothing, closes. `keeps`: closes none by itself.
  explicit Peer(std::string_view answer, bool keeps = false) : answer_(answer), keeps_(keeps) {
    const SocketAddress any(*Address::ParseLiteral("127.0.0.1"));
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    EXPECT_EQ(bind(listener_, any.get(), any.size()), 0);
    EXPECT_EQ(listen(listener_, 1024), 0);
    sockaddr_storage name{};
    socklen_t size = sizeof name;
    getsockname(listener_, reinterpret_cast<sockaddr*>(&name), &size);
    const Address bound = AddressFrom(reinterpret_cast<sockaddr*>(&name));
    port_ = bound.port;
    open_.fill(-1);
    datagrams_ = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const SocketAddress same(bound);
    EXPECT_EQ(bind(datagrams_, same.get(), same.size()), 0);
  }
  ~Peer() {
    Close(listener_);
    Close(datagrams_);
    for (int& fd : open_) Close(fd);
  }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  uint16_t port() const { return port_; }

  // Nobody listens any more: connections are refused.
  void StopListening() {
    Close(listener_);
    Close(datagrams_);
  }

  void Serve() {
    for (int& fd : open_) {
      if (fd < 0 && listener_ >= 0) {
        fd = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      }
      if (fd >= 0) Talk(&fd);
    }
    while (datagrams_ >= 0 && AnswerDatagram()) {}
  }

 private:
  // A DNS question comes back as an answer without records.
  bool AnswerDatagram() {
    char message[1024];
    sockaddr_storage from{};
    socklen_t size = sizeof from;
    auto* name = reinterpret_cast<sockaddr*>(&from);
    const ssize_t count = recvfrom(datagrams_, message, sizeof message, 0, name, &size);
    if (count < 12) return count >= 0;
    message[2] = static_cast<char>(message[2] | 0x80);
    sendto(datagrams_, message, static_cast<size_t>(count), 0, name, size);
    return true;
  }
  void Talk(int* fd) {
    if (answer_.empty()) return Close(*fd);
    char request[1024];
    const ssize_t count = recv(*fd, request, sizeof request, 0);
    if (count < 0) return;  // not yet
    if (count > 0) send(*fd, answer_.data(), answer_.size(), MSG_NOSIGNAL);
    if (count == 0 || !keeps_) Close(*fd);
  }
  static void Close(int& fd) {
    if (fd >= 0) close(fd);
    fd = -1;
  }

  const std::string_view answer_;
  const bool keeps_;
  int listener_ = -1, datagrams_ = -1;
  uint16_t port_ = 0;
  std::array<int, 256> open_{};
};

// Counts runs by verdict; what production's sink does comes on top.
class Verdicts : public ResultSink {
 public:
  void OnRun(const RunReport& report) override {
    ++count;
    opened += report.result.legs;
    if (report.result.outcome != wanted) other = report.result.outcome;
  }
  size_t count = 0;
  uint64_t opened = 0;  // connections
  Outcome wanted = Outcome::kOk;
  Outcome other = Outcome::kOk;
};

class Loop {
 public:
  Loop()
      : poller_(*Poller::Make()),
        resolver_(*poller_, {}),
        network_(*poller_, resolver_, 1000),
        shard_(ShardOptions(), network_, nullptr, &verdicts) {}

  // Tasks as a configuration file makes them; `line` is what a task's line says beside its name.
  void Load(const std::string& line) {
    // With every optional part of a tally.
    std::string text =
        "metrics: {recent: true, families: [core, phases, histogram, ratios, tls, native]}\n"
        "tasks:\n";
    for (size_t i = 0; i < kTasks; ++i) {
      text += "- {name: t" + std::to_string(i) + ", interval: 100ms, timeout: 5s, " + line + "}\n";
    }
    Diagnostics diagnostics;
    const TaskFile file = ReadTaskFile(text, Probers(), diagnostics);
    ASSERT_TRUE(diagnostics.ok()) << diagnostics.ToString("text");
    ASSERT_EQ(file.tasks.front()->metrics, (TaskMetrics{FamilySet::All(), true}));
    for (const auto& task : file.tasks) {
      shard_.Apply({std::make_shared<TaskRecord>(task), task});
    }
  }

  // Turns until `runs` more have finished. False: they did not in time.
  bool Run(size_t runs, Peer& peer) {
    const size_t enough = verdicts.count + runs;
    const Instant end = MonotonicNow() + kPatience;
    while (verdicts.count < enough) {
      if (MonotonicNow() > end) return false;
      Turn();
      peer.Serve();
      pollfd waits{poller_->fd(), POLLIN, 0};
      if (!network_.pending()) poll(&waits, 1, 1);
    }
    return true;
  }

  Verdicts verdicts;

 private:
  static Shard::Options ShardOptions() {
    Shard::Options options;
    options.start = MonotonicNow();
    options.wall_minus_mono = WallMinusMonotonic();
    options.limits.in_flight = kMostInFlight;
    return options;
  }

  void Turn() {
    shard_.BeginTurn(MonotonicNow());
    Instant began = MonotonicNow();
    while (network_.DispatchEvents(shard_.events())) began = MonotonicNow();
    shard_.EndTurn(began, WallNow());
  }

  std::unique_ptr<Poller> poller_;
  Resolver resolver_;
  EpollNetwork network_;
  Shard shard_;
};

struct Case {
  const char* name;
  const char* line;  // PORT is the peer's
  std::string_view answer;
  Outcome outcome;
  bool listening = true;
  bool keeps = false;
};

class ProbeAllocationTest : public testing::TestWithParam<Case> {};

TEST_P(ProbeAllocationTest, AThousandRunsTakeNothing) {
  if (!kCountsAllocations) GTEST_SKIP();
  const Case& the = GetParam();
  Peer peer(the.answer, the.keeps);
  if (!the.listening) peer.StopListening();
  Loop loop;
  loop.verdicts.wanted = the.outcome;
  std::string line = the.line;
  if (const size_t at = line.find("PORT"); at != std::string::npos) {
    line.replace(at, 4, std::to_string(peer.port()));
  }
  loop.Load(line);
  // Slots, buffers and reasons come into being with the first runs, and once more whenever more are
  // in flight than ever before: a busy machine has a few such moments.
  ASSERT_TRUE(loop.Run(5 * kTasks, peer));
  AllocationCount taken{1, 1};
  for (int attempt = 0; attempt < kAttempts && taken.allocations > 0; ++attempt) {
    const AllocationCount before = ThreadAllocations();
    ASSERT_TRUE(loop.Run(1000, peer));
    taken = ThreadAllocations() - before;
  }
  EXPECT_EQ(taken.allocations, 0u);
  EXPECT_EQ(taken.bytes, 0u);
  if (the.keeps) { EXPECT_EQ(loop.verdicts.opened, kTasks); }
  EXPECT_EQ(Info(loop.verdicts.other).reason, Info(Outcome::kOk).reason);
}

constexpr std::string_view kPage =
    "HTTP/1.1 200 OK\r\nServer: peer\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello";
constexpr std::string_view kBusy =
    "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 5\r\n\r\nsorry";

INSTANTIATE_TEST_SUITE_P(
    All, ProbeAllocationTest,
    testing::Values(
        Case{"tcp", "type: tcp, target: '127.0.0.1:PORT'", "", Outcome::kOk},
        Case{"http", "type: http, target: 'http://127.0.0.1:PORT/'", kPage, Outcome::kOk},
        Case{"http_kept", "type: http, target: 'http://127.0.0.1:PORT/', http: {keep_alive: true}",
             kPage, Outcome::kOk, true, true},
        // After a failed rule too.
        Case{"http_kept_status",
             "type: http, target: 'http://127.0.0.1:PORT/', http: {keep_alive: true}", kBusy,
             Outcome::kValidationStatus, true, true},
        Case{"dns", "type: dns, target: a.test, dns: {server: '127.0.0.1:PORT'}", "", Outcome::kOk},
        Case{"icmp", "type: icmp, target: 127.0.0.1", "", Outcome::kOk},
        Case{"icmp_v6", "type: icmp, target: '::1'", "", Outcome::kOk},
        // Failing is no more work than passing.
        Case{"dns_refused", "type: dns, target: a.test, dns: {server: '127.0.0.1:PORT'}", "",
             Outcome::kConnectRefused, false},
        Case{"dns_rcode",
             "type: dns, target: a.test, dns: {server: '127.0.0.1:PORT', "
             "valid_rcodes: [NXDOMAIN]}",
             "", Outcome::kValidationRcode},
        Case{"tcp_refused", "type: tcp, target: '127.0.0.1:PORT'", "", Outcome::kConnectRefused,
             false},
        Case{"http_refused", "type: http, target: 'http://127.0.0.1:PORT/'", "",
             Outcome::kConnectRefused, false},
        Case{"http_status", "type: http, target: 'http://127.0.0.1:PORT/'", kBusy,
             Outcome::kValidationStatus}),
    [](const testing::TestParamInfo<Case>& test) { return test.param.name; });

}  // namespace
}  // namespace sonde
