// What a probe passes through between its due time and its result, part by part and as a whole,
// with what each takes from the heap. Turn/*: a shard that turns once a millisecond over a network
// whose peers answer at once, so that all is counted but the kernel; one operation is one probe.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "bench/answering_network.h"
#include "bench/counted.h"
#include "engine/contract/fact.h"
#include "engine/contract/probe_policy.h"
#include "engine/contract/schedule.h"
#include "engine/shard/admission.h"
#include "engine/shard/echo_message.h"
#include "engine/shard/echo_table.h"
#include "engine/shard/shard.h"
#include "engine/shard/start_queue.h"
#include "engine/shard/timer_wheel.h"
#include "engine/shard/token_table.h"
#include "protocols/dns_message.h"
#include "protocols/dns_query.h"
#include "protocols/http_prober.h"
#include "protocols/registry.h"
#include "store/task_file.h"
#include "tests/support/conversation_driver.h"
#include "tests/support/module_text.h"

namespace sonde {
namespace {

constexpr WallTime kStart{1'790'000'000'000'000'000};
constexpr std::string_view kHttpAnswer =
    "HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Sat, 28 Nov 2026 12:00:00 GMT\r\n"
    "Content-Type: text/plain\r\nContent-Length: 13\r\nConnection: close\r\n"
    "ETag: \"6565d8f0-d\"\r\nAccept-Ranges: bytes\r\n\r\nhello, world\n";
constexpr std::string_view kKeptAnswer =
    "HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Sat, 28 Nov 2026 12:00:00 GMT\r\n"
    "Content-Type: text/plain\r\nContent-Length: 13\r\nConnection: keep-alive\r\n"
    "ETag: \"6565d8f0-d\"\r\nAccept-Ranges: bytes\r\n\r\nhello, world\n";

// A good part of a run's facts, in the order a conversation sets them.
void SetFacts(benchmark::State& state) {
  constexpr Fact kFacts[] = {
      Fact::kSuccess,       Fact::kDuration,          Fact::kTimeout,        Fact::kHttpStatusCode,
      Fact::kHttpVersion,   Fact::kHttpContentLength, Fact::kHttpBodyLength, Fact::kHttpSsl,
      Fact::kHttpRedirects, Fact::kFailedRegex,       Fact::kHttpResolve,    Fact::kHttpConnect,
      Fact::kHttpTls,       Fact::kIpProtocol,        Fact::kIpAddrHash,     Fact::kDnsLookupTime};
  Counted counted(state);
  for (auto _ : state) {
    FactSet facts;
    double value = 0;
    for (const Fact fact : kFacts) facts.Set(fact, value += 0.25);
    benchmark::DoNotOptimize(facts);
  }
  counted.Report();
}
BENCHMARK(SetFacts)->Name("Facts/set_16");

void NextSlot(benchmark::State& state) {
  const Schedule schedule = *Schedule::Every(Seconds(15));
  WallTime at = kStart;
  Counted counted(state);
  for (auto _ : state) at = *schedule.NextAfter(4711, at);
  benchmark::DoNotOptimize(at);
  counted.Report();
}
BENCHMARK(NextSlot)->Name("Schedule/next_of_interval");

// ---- admission ----------------------------------------------------------------------------------

void StartQueueInAndOut(benchmark::State& state) {
  std::vector<Waiter> waiters(256);
  StartQueue queue;
  Counted counted(state);
  for (auto _ : state) {
    for (Waiter& waiter : waiters) queue.PushBack(waiter);
    while (!queue.empty()) queue.Remove(*queue.first());
  }
  counted.Report(static_cast<int64_t>(state.iterations() * waiters.size()));
}
BENCHMARK(StartQueueInAndOut)->Name("Admission/start_queue");

// A run to a destination under a limit, from its start to its end; others are under way there.
void DestinationLimit(benchmark::State& state) {
  ShardLimits limits;
  limits.destination_in_flight = 4;
  limits.destination_rate = 1e6;
  Destinations destinations;
  std::vector<std::string> names;
  for (int i = 0; i < 1000; ++i) names.push_back("10.0.0." + std::to_string(i) + ":80");
  Instant now{Seconds(1'000).ns};
  for (const std::string& name : names) destinations.Take(name, limits, now);
  size_t i = 0;
  Counted counted(state);
  for (auto _ : state) {
    now = now + Microseconds(10);
    Destination* destination = destinations.Take(names[i++ % names.size()], limits, now);
    if (Destinations::Blocked(*destination, limits, now)) std::abort();
    Destinations::Start(*destination, limits);
    --destination->in_flight;
    --destination->users;
    benchmark::DoNotOptimize(destination);
  }
  counted.Report();
}
BENCHMARK(DestinationLimit)->Name("Admission/destination_limit");

void JudgePolicy(benchmark::State& state) {
  ProbePolicy policy;
  for (const std::string_view rule : {"metadata", "link-local", "10.1.0.0/16", "*.internal.example",
                                      "192.168.7.0/24", "scheme:dns"}) {
    if (!policy.Add(rule, false)) std::abort();
  }
  const Address address = *Address::ParseLiteral("203.0.113.9");
  Counted counted(state);
  for (auto _ : state) {
    benchmark::DoNotOptimize(policy.CheckName("shop-17.example", 443, "https"));
    benchmark::DoNotOptimize(policy.CheckAddress(address));
  }
  counted.Report();
}
BENCHMARK(JudgePolicy)->Name("Policy/name_and_address");

// ---- datagrams ----------------------------------------------------------------------------------

// Mark, message, answer, whose it is: what ICMP adds to a probe.
void EchoRoundTrip(benchmark::State& state) {
  EchoTable table(0x736f6e6465);
  const Address peer = *Address::ParseLiteral("10.0.0.9");
  const std::vector<uint8_t> payload(56, 'x');
  std::vector<uint8_t> message;
  SlotRef slot{7, 1};
  static_cast<void>(table.Next(slot, 0, peer));  // makes its list
  AppendEchoRequest(IpFamily::kV4, 1, 0, 0, payload, &message);
  Counted counted(state);
  for (auto _ : state) {
    slot.generation = (slot.generation + 1) & EchoTable::kGenerationMask;
    const EchoTable::Mark mark = table.Next(slot, 0, peer);
    message.clear();
    AppendEchoRequest(IpFamily::kV4, 1, mark.sequence, mark.cookie, payload, &message);
    message[0] = 0;  // the reply
    const auto answer = ParseEchoAnswer(IpFamily::kV4, message);
    const auto claim = table.Find(peer, answer->sequence, answer->payload);
    if (!claim || claim->generation != slot.generation) std::abort();
  }
  counted.Report();
}
BENCHMARK(EchoRoundTrip)->Name("Echo/round_trip");

void TokenRoundTrip(benchmark::State& state) {
  constexpr uint32_t kLegs = 1000;
  TokenTable table;
  std::vector<Address> peers;
  for (uint32_t i = 0; i < kLegs; ++i) {
    peers.push_back(
        *Address::ParseLiteral("10.0." + std::to_string(i / 250) + "." + std::to_string(i % 250)));
    peers.back().port = 53;
    table.Add(i, 1, peers[i], static_cast<uint16_t>(i * 40'503));
  }
  uint32_t leg = 0;
  uint16_t token = 1;
  table.Remove(0, true);
  table.Add(0, 1, peers[0], 1);
  Counted counted(state);
  for (auto _ : state) {
    leg = (leg + 1) % kLegs;
    table.Remove(leg, true);
    const auto entered = table.Add(leg, 1, peers[leg], token = static_cast<uint16_t>(token + 7));
    if (table.Find(1, peers[leg], *entered) != leg) std::abort();
  }
  counted.Report();
}
BENCHMARK(TokenRoundTrip)->Name("Token/round_trip");

std::string Question() {
  std::string wire, error;
  if (!ParseDnsName("www.farm.test", &wire, &error)) std::abort();
  return DnsQuestion(wire, 1, 1);
}

// At load, for each task.
void BuildQuery(benchmark::State& state) {
  const DnsQuery query{.question = Question(), .edns_size = 1232};
  Counted counted(state);
  for (auto _ : state) benchmark::DoNotOptimize(DnsQueryAfterId(query));
  counted.Report();
}
BENCHMARK(BuildQuery)->Name("Dns/build_query");

// Four A records with compressed names.
void ReadReply(benchmark::State& state) {
  const std::string question = Question();
  std::string message("\x12\x34\x81\x80\x00\x01\x00\x04\x00\x00\x00\x00", 12);
  message += question;
  for (char i = 1; i <= 4; ++i) {
    message.append("\xc0\x0c\x00\x01\x00\x01\x00\x00\x01\x2c\x00\x04\x0a\x00\x00", 15);
    message.push_back(i);
  }
  Counted counted(state);
  for (auto _ : state) {
    DnsReply reply;
    if (ReadDnsReply(AsBytes(message), AsBytes(question), &reply) != DnsRead::kReply) std::abort();
    int records = 0;
    for (DnsRecords each(reply); each.Next();) ++records;
    benchmark::DoNotOptimize(records);
  }
  counted.Report();
}
BENCHMARK(ReadReply)->Name("Dns/read_reply");

// ---- http ---------------------------------------------------------------------------------------

// A conversation from its birth to its verdict, its driver's own buffers included: the request, and
// an answer with eight header fields in one read.
void HttpConversationStep(benchmark::State& state) {
  const ModuleText module = ReadModule(HttpProber(), "");
  const TargetText target = ReadTarget(HttpProber(), "http://shop.example/health", *module.module);
  Counted counted(state);
  for (auto _ : state) {
    ConversationDriver probe(HttpProber(), module.module, target.plan);
    probe.Start();
    probe.Open();
    if (probe.Receive(kHttpAnswer).kind != Step::Kind::kPass) std::abort();
  }
  counted.Report();
}
BENCHMARK(HttpConversationStep)->Name("Http/conversation");

// ---- a whole probe but the kernel ---------------------------------------------------------------

constexpr size_t kTasks = 2'000;  // one due in each millisecond, two at times

std::string Line(std::string_view type, size_t i) {
  const std::string at = "10.0." + std::to_string(i / 250) + "." + std::to_string(1 + i % 250);
  if (type == "http") return "type: http, target: 'http://" + at + "/health'";
  if (type == "http_kept") {
    return "type: http, target: 'http://" + at + "/health', http: {keep_alive: true}";
  }
  if (type == "dns") return "type: dns, target: www.farm.test, dns: {server: '" + at + ":53'}";
  if (type == "icmp") return "type: icmp, target: " + at;
  return "type: tcp, target: '" + at + ":6379'";
}

TaskFile Fleet(std::string_view type) {
  std::string text = "metrics: {recent: false}\ntasks:\n";
  for (size_t i = 0; i < kTasks; ++i) {
    text += "- {name: t" + std::to_string(i) + ", " + Line(type, i) + ", interval: 2s}\n";
  }
  Diagnostics diagnostics;
  TaskFile file = ReadTaskFile(text, Probers(), diagnostics);
  if (!diagnostics.ok()) {
    std::fputs(diagnostics.ToString("hot_paths_bench").c_str(), stderr);
    std::abort();
  }
  return file;
}

class TurningShard {
 public:
  explicit TurningShard(std::string_view type)
      : network_(type == "http_kept" ? kKeptAnswer : kHttpAnswer) {
    Shard::Options options;
    options.start = network_.now;
    options.wall_minus_mono = Duration{kStart.ns - network_.now.ns};
    shard_ = std::make_unique<Shard>(options, network_, nullptr, nullptr);
    for (const auto& task : Fleet(type).tasks) {
      shard_->Apply({std::make_shared<TaskRecord>(task), task});
    }
  }
  void Turn() {
    network_.now = network_.now + Milliseconds(1);
    shard_->BeginTurn(network_.now);
    network_.Deliver(shard_->events());
    shard_->EndTurn(network_.now, {kStart.ns + network_.now.ns - Seconds(1'000).ns});
  }
  ShardStats stats() const { return shard_->Stats(); }

 private:
  AnsweringNetwork network_;
  std::unique_ptr<Shard> shard_;
};

void ShardTurn(benchmark::State& state, std::string_view type) {
  TurningShard shard(type);
  for (int i = 0; i < 4'000; ++i) shard.Turn();  // two rounds: everything has grown
  const ShardStats before = shard.stats();
  Counted counted(state);
  for (auto _ : state) shard.Turn();
  const ShardStats after = shard.stats();
  counted.Report(static_cast<int64_t>(after.finished - before.finished));
  const auto ok = static_cast<size_t>(Outcome::kOk);
  if (after.outcomes[ok] - before.outcomes[ok] != after.finished - before.finished) {
    state.SkipWithError("not every probe passed");
  }
}
BENCHMARK_CAPTURE(ShardTurn, tcp, "tcp")->Name("Turn/tcp");
BENCHMARK_CAPTURE(ShardTurn, http, "http")->Name("Turn/http");
BENCHMARK_CAPTURE(ShardTurn, http_kept, "http_kept")->Name("Turn/http_kept");
BENCHMARK_CAPTURE(ShardTurn, dns, "dns")->Name("Turn/dns");
BENCHMARK_CAPTURE(ShardTurn, icmp, "icmp")->Name("Turn/icmp");

}  // namespace
}  // namespace sonde

BENCHMARK_MAIN();
