// The farm's DNS targets over UDP, TCP and TLS.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include <chrono>
#include <memory>
#include <set>

#include "tests/tools/dns_client.h"
#include "tests/tools/farm_client.h"
#include "tools/farm/farm.h"

namespace sonde {
namespace {

using End = FarmClient::End;
using Kind = ListenerConfig::Kind;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using namespace std::string_literals;

constexpr int kShort = 100;  // ms: how long silence is listened to
constexpr uint16_t kA = 1, kSoa = 6, kMx = 15, kTxt = 16, kAaaa = 28, kOpt = 41, kAny = 255;
constexpr uint16_t kAnswerFlags = 0x8580;  // QR AA RD RA
const std::string kLocalhost = "\x7F\0\0\1"s;

std::unique_ptr<Farm> Start(const ListenerConfig& listener, int threads = 1) {
  FarmConfig config;
  config.threads = threads;
  config.listeners = {listener};
  auto farm = Farm::Start(config);
  EXPECT_TRUE(farm.ok()) << farm.status();
  return farm.ok() ? std::move(*farm) : nullptr;
}

ListenerConfig Dns(Behaviour behaviour = Behaviour::kOk) {
  ListenerConfig listener;
  listener.kind = Kind::kDns;
  if (behaviour != Behaviour::kOk) listener.mix.shares = {{behaviour, 100}};
  return listener;
}

DnsAsk Ask(const std::string& name, uint16_t type = kA) {
  DnsAsk ask;
  ask.name = name;
  ask.type = type;
  return ask;
}

std::string Framed(const std::string& message) {
  return std::string{static_cast<char>(message.size() >> 8), static_cast<char>(message.size())} +
         message;
}

// The messages of a stream, and what is left over.
std::vector<std::string> Unframed(std::string bytes) {
  std::vector<std::string> messages;
  while (bytes.size() >= 2) {
    const size_t size = static_cast<uint8_t>(bytes[0]) * 256u + static_cast<uint8_t>(bytes[1]);
    if (bytes.size() < 2 + size) break;
    messages.push_back(bytes.substr(2, size));
    bytes.erase(0, 2 + size);
  }
  if (!bytes.empty()) messages.push_back("part of a message");
  return messages;
}

TEST(FarmDns, AnswersFromTheAddressThatWasAsked) {
  const auto farm = Start(Dns());
  for (const char* address : {"127.0.0.1", "127.1.2.3", "127.255.255.254"}) {
    DnsDatagrams client;
    client.Send(farm->Ports(0)[0], Ask("Any.farm.test").Bytes(), address);
    const auto got = client.Receive();
    ASSERT_TRUE(got) << address;
    EXPECT_EQ(got->address, address);
    EXPECT_EQ(got->port, farm->Ports(0)[0]);
    const auto said = DnsSaid::Parse(got->bytes);
    ASSERT_TRUE(said);
    EXPECT_EQ(said->id, 0x1234);
    EXPECT_EQ(said->flags, kAnswerFlags);
    EXPECT_EQ(said->name, "Any.farm.test") << "letters' case comes back";
    EXPECT_THAT(said->Data(kA), ElementsAre(kLocalhost));
    EXPECT_EQ(said->records[0].name, "Any.farm.test");
    EXPECT_EQ(said->records[0].ttl, 60u);
  }
}

TEST(FarmDns, AnswersOverIpv6) {
  ListenerConfig listener = Dns();
  listener.address = "::1";
  const auto farm = Start(listener);
  if (!farm) GTEST_SKIP() << "no IPv6 here";
  DnsDatagrams client(5000, true);
  client.Send(farm->Ports(0)[0], Ask("farm.test", kAaaa).Bytes(), "::1");
  const auto got = client.Receive();
  ASSERT_TRUE(got);
  EXPECT_EQ(got->address, "::1");
  EXPECT_THAT(DnsSaid::Parse(got->bytes)->Data(kAaaa), ElementsAre(std::string(15, '\0') + "\1"));
  // There is no other address to answer from: another port does as well.
  client.Send(farm->Ports(0)[0], Ask("do-other_address.farm.test").Bytes(), "::1");
  const auto other = client.Receive();
  ASSERT_TRUE(other);
  EXPECT_NE(other->port, farm->Ports(0)[0]);
}

TEST(FarmDns, ZonesAreAnsweredAsServersDo) {
  ListenerConfig listener = Dns();
  listener.zones = {{"shop.test",
                     30,
                     {"@ A 192.0.2.1", "@ MX 5 mail", "a CNAME b", "b CNAME @", "away CNAME x.org.",
                      "gone CNAME nobody", "loop1 CNAME loop2", "loop2 CNAME loop1"}}};
  const auto farm = Start(listener);
  const uint16_t port = farm->Ports(0)[0];
  DnsDatagrams client;
  const struct {
    const char* name;
    uint16_t type;
    int code;
    unsigned answers, authorities;
  } cases[] = {
      {"shop.test", kA, 0, 1, 0},        {"SHOP.test", kMx, 0, 1, 0},
      {"shop.test", kTxt, 0, 0, 1},      {"shop.test", kAny, 0, 3, 0},
      {"nobody.shop.test", kA, 3, 0, 1}, {"farm.test", kA, 5, 0, 0},
      {"a.shop.test", kA, 0, 3, 0},      {"a.shop.test", 5, 0, 1, 0},
      {"a.shop.test", kTxt, 0, 2, 0},    {"away.shop.test", kA, 0, 1, 0},
      {"gone.shop.test", kA, 3, 1, 1},   {"loop1.shop.test", kA, 0, 9, 0},
  };
  for (const auto& c : cases) {
    const auto said = client.Ask(port, Ask(c.name, c.type));
    ASSERT_TRUE(said) << c.name;
    EXPECT_EQ(said->code(), c.code) << c.name << " " << c.type;
    EXPECT_EQ(said->counts[1], c.answers) << c.name << " " << c.type;
    EXPECT_EQ(said->counts[2], c.authorities) << c.name << " " << c.type;
  }
  const auto chased = client.Ask(port, Ask("a.shop.test"));
  EXPECT_EQ(chased->records[1].name, "b.shop.test");
  EXPECT_EQ(chased->records[2].name, "shop.test");
  EXPECT_EQ(chased->records[2].data, "\xC0\0\2\1"s);
  const auto nothing = client.Ask(port, Ask("nobody.shop.test"));
  EXPECT_EQ(nothing->records[0].name, "shop.test");
  EXPECT_EQ(nothing->records[0].type, kSoa);
  DnsAsk chaos = Ask("shop.test");
  chaos.klass = 3;
  EXPECT_EQ(client.Ask(port, chaos)->code(), 5);
}

TEST(FarmDns, AnswersWithEdns) {
  const auto farm = Start(Dns());
  DnsDatagrams client;
  DnsAsk ask = Ask("farm.test");
  ask.edns_size = 1232;
  const auto said = client.Ask(farm->Ports(0)[0], ask);
  ASSERT_TRUE(said);
  EXPECT_EQ(said->counts[3], 1);
  EXPECT_EQ(said->records.back().type, kOpt);
  std::string newer = ask.Bytes();
  newer[newer.size() - 5] = 1;  // the version
  client.Send(farm->Ports(0)[0], newer);
  const auto refused = DnsSaid::Parse(client.Receive()->bytes);
  EXPECT_EQ(refused->code(), 0);
  EXPECT_EQ(refused->records.back().ttl >> 24, 1u) << "BADVERS";
  EXPECT_EQ(refused->counts[1], 0);
}

TEST(FarmDns, WhatIsTooLongForTheClientIsCutAndWholeOverTcp) {
  const auto farm = Start(Dns());
  const uint16_t port = farm->Ports(0)[0];
  DnsDatagrams client;
  // Header, question, one record of 200 bytes of text, OPT.
  DnsAsk ask = Ask("bytes-400.farm.test", kTxt);
  EXPECT_FALSE(client.Ask(port, ask)->truncated());
  ask.name = "bytes-500.farm.test";
  auto said = client.Ask(port, ask);
  EXPECT_TRUE(said->truncated());
  EXPECT_EQ(said->records.size(), 0u);
  ask.edns_size = 1232;
  said = client.Ask(port, ask);
  EXPECT_FALSE(said->truncated());
  EXPECT_THAT(said->Data(kTxt),
              ElementsAre("\xFF" + std::string(255, 'x'), "\xF5" + std::string(245, 'x')));
  ask.name = "bytes-5000.farm.test";
  said = client.Ask(port, ask);
  EXPECT_TRUE(said->truncated());
  EXPECT_EQ(said->records.size(), 1u) << "OPT stays";
  FarmClient tcp(port);
  tcp.Send(Framed(ask.Bytes())).HalfClose();
  const auto messages = Unframed(tcp.ReadAll());
  ASSERT_EQ(messages.size(), 1u);
  EXPECT_EQ(DnsSaid::Parse(messages[0])->Data(kTxt).size(), 20u);
}

TEST(FarmDns, SaysWhenAQueryIsNone) {
  const auto farm = Start(Dns());
  const uint16_t port = farm->Ports(0)[0];
  DnsDatagrams client;
  const std::string good = Ask("farm.test").Bytes();
  client.Send(port, good + "x");
  auto said = DnsSaid::Parse(client.Receive()->bytes);
  EXPECT_EQ(said->flags, 0x8181) << "FORMERR";
  EXPECT_EQ(said->counts[0], 0);
  std::string update = good;
  update[2] = '\x28';
  client.Send(port, update);
  EXPECT_EQ(DnsSaid::Parse(client.Receive()->bytes)->flags, 0xA804) << "NOTIMP, opcode 5";
  client.Send(port, good + std::string(3000, 'x'));
  EXPECT_EQ(DnsSaid::Parse(client.Receive()->bytes)->code(), 1);
  // Nothing is said to answers and to what has no header: the next answer is the next query's.
  std::string answer = good;
  answer[2] = '\x80';
  client.Send(port, answer);
  client.Send(port, "");
  client.Send(port, good.substr(0, 11));
  EXPECT_EQ(client.Ask(port, Ask("last.farm.test"))->name, "last.farm.test");
  EXPECT_THAT(farm->StatsJson(), HasSubstr("\"bad_requests\":6"));
}

TEST(FarmDns, MisbehavesAsAskedOverUdp) {
  const auto farm = Start(Dns());
  const uint16_t port = farm->Ports(0)[0];
  const struct {
    const char* word;
    int code;
    unsigned answers, authorities;
    bool parses;
  } cases[] = {
      {"ok", 0, 1, 0, true},       {"error", 2, 0, 0, true},     {"nxdomain", 3, 0, 1, true},
      {"refused", 5, 0, 0, true},  {"formerr", 1, 0, 0, true},   {"notimp", 4, 0, 0, true},
      {"empty", 0, 0, 1, true},    {"truncated", 0, 0, 0, true}, {"cut", 0, 0, 0, false},
      {"garbage", 0, 0, 0, false}, {"loop", 0, 0, 0, false},     {"false_counts", 0, 0, 0, false},
      {"drip", 0, 1, 0, true},
  };
  for (const auto& c : cases) {
    DnsDatagrams client;
    client.Send(port, Ask("do-"s + c.word + ".farm.test").Bytes());
    const auto got = client.Receive();
    ASSERT_TRUE(got) << c.word;
    EXPECT_EQ(got->bytes.substr(0, 2), "\x12\x34") << c.word;
    EXPECT_EQ(got->bytes[2] & 0x80, 0x80) << c.word;
    const auto said = DnsSaid::Parse(got->bytes);
    EXPECT_EQ(said.has_value(), c.parses) << c.word;
    if (!said) continue;
    EXPECT_EQ(said->code(), c.code) << c.word;
    EXPECT_EQ(said->counts[1], c.answers) << c.word;
    EXPECT_EQ(said->counts[2], c.authorities) << c.word;
    EXPECT_EQ(said->truncated(), c.word == "truncated"s) << c.word;
  }
  for (const char* word : {"silent", "refuse", "reset", "closed", "stall"}) {
    DnsDatagrams client(kShort);
    client.Send(port, Ask("do-"s + word + ".farm.test").Bytes());
    EXPECT_FALSE(client.Receive()) << word;
  }
}

TEST(FarmDns, SendsWhatAProberMustNotTake) {
  const auto farm = Start(Dns());
  const uint16_t port = farm->Ports(0)[0];
  DnsDatagrams client;
  const auto ask = [&](const char* word) {
    client.Send(port, Ask("do-"s + word + ".farm.test").Bytes());
    return client.Receive();
  };
  const auto parsed = [&](const char* word) { return DnsSaid::Parse(ask(word)->bytes); };
  EXPECT_NE(parsed("wrong_id")->id, 0x1234);
  const auto question = parsed("wrong_question");
  EXPECT_EQ(question->id, 0x1234);
  EXPECT_NE(question->type, kA);
  EXPECT_EQ(question->counts[1], 1);
  const auto reflected = parsed("reflect");
  EXPECT_EQ(reflected->flags, 0x0100);
  EXPECT_EQ(reflected->name, "do-reflect.farm.test");
  auto other = ask("other_port");
  EXPECT_EQ(other->address, "127.0.0.1");
  EXPECT_NE(other->port, port);
  EXPECT_TRUE(DnsSaid::Parse(other->bytes));
  other = ask("other_address");
  EXPECT_NE(other->address, "127.0.0.1");
  EXPECT_EQ(other->port, port);
  const auto once = ask("twice"), again = client.Receive();
  ASSERT_TRUE(again);
  EXPECT_EQ(once->bytes, again->bytes);
  const auto large = ask("large");
  EXPECT_GT(large->bytes.size(), 60'000u);
  EXPECT_TRUE(DnsSaid::Parse(large->bytes));
}

TEST(FarmDns, MisbehavesAsAskedOverTcp) {
  ListenerConfig listener = Dns();
  listener.pace = Microseconds(100);
  const auto farm = Start(listener);
  const struct {
    const char* word;
    End end;
    size_t messages;  // whole ones
    size_t rest;      // 1: and a part
  } cases[] = {
      {"ok", End::kClosed, 1, 0},         {"error", End::kClosed, 1, 0},
      {"truncated", End::kClosed, 1, 0},  {"twice", End::kClosed, 2, 0},
      {"drip", End::kClosed, 1, 0},       {"garbage", End::kClosed, 1, 0},
      {"large", End::kClosed, 1, 0},      {"cut", End::kClosed, 0, 1},
      {"silent", End::kTimeout, 0, 0},    {"closed", End::kClosed, 0, 0},
      {"reset", End::kReset, 0, 0},       {"reset_body", End::kReset, 0, 1},
      {"stall", End::kTimeout, 0, 1},     {"stall_headers", End::kTimeout, 0, 1},
      {"half_close", End::kClosed, 1, 0},
  };
  for (const auto& c : cases) {
    FarmClient client(farm->Ports(0)[0], "127.0.0.1", c.end == End::kTimeout ? kShort : 5000);
    client.Send(Framed(Ask("do-"s + c.word + ".farm.test").Bytes()));
    if (c.end == End::kClosed) client.HalfClose();
    const auto messages = Unframed(client.ReadAll());
    EXPECT_EQ(client.end(), c.end) << c.word;
    EXPECT_EQ(messages.size(), c.messages + c.rest) << c.word;
    if (c.word == "drip"s) { EXPECT_GT(client.reads(), 10u); }
    if (c.word == "truncated"s) { EXPECT_FALSE(DnsSaid::Parse(messages.at(0))->truncated()); }
  }
}

TEST(FarmDns, TakesAStreamInPiecesAndManyAtOnce) {
  const auto farm = Start(Dns());
  const std::string one = Framed(Ask("a.farm.test").Bytes());
  FarmClient slow(farm->Ports(0)[0]);
  for (const char c : one) slow.Send(std::string(1, c));
  slow.HalfClose();
  EXPECT_EQ(Unframed(slow.ReadAll()).size(), 1u);
  std::string many;
  for (int i = 0; i < 1000; ++i) many += one;
  FarmClient pipelining(farm->Ports(0)[0]);
  pipelining.Send(many).HalfClose();
  EXPECT_EQ(Unframed(pipelining.ReadAll()).size(), 1000u);
  FarmClient nonsense(farm->Ports(0)[0]);
  nonsense.Send(Framed("short")).ReadAll();
  EXPECT_EQ(nonsense.end(), End::kClosed);
}

TEST(FarmDns, OnlyTheTransportThatIsWanted) {
  ListenerConfig listener = Dns();
  listener.transport = ListenerConfig::Transport::kUdp;
  auto farm = Start(listener);
  EXPECT_FALSE(FarmClient(farm->Ports(0)[0]).connected());
  EXPECT_TRUE(DnsDatagrams().Ask(farm->Ports(0)[0], Ask("farm.test")));
  listener.transport = ListenerConfig::Transport::kTcp;
  farm = Start(listener);
  EXPECT_TRUE(FarmClient(farm->Ports(0)[0]).connected());
  DnsDatagrams client;
  ASSERT_TRUE(client.ConnectTo(farm->Ports(0)[0], "127.0.0.1"));
  client.Send(farm->Ports(0)[0], Ask("farm.test").Bytes());
  EXPECT_FALSE(client.Receive());
  EXPECT_EQ(client.error(), ECONNREFUSED);
}

TEST(FarmDns, ARefusedPortIsRefusedOverUdpToo) {
  ListenerConfig listener;
  listener.kind = Kind::kRefused;
  const auto farm = Start(listener);
  for (const char* address : {"127.0.0.1", "127.4.5.6"}) {
    DnsDatagrams client;
    ASSERT_TRUE(client.ConnectTo(farm->Ports(0)[0], address));
    client.Send(farm->Ports(0)[0], Ask("farm.test").Bytes(), address);
    EXPECT_FALSE(client.Receive());
    EXPECT_EQ(client.error(), ECONNREFUSED) << address;
  }
}

TEST(FarmDns, WaitsAsLongAsItIsToldAndInTheOrderOfDueTimes) {
  ListenerConfig listener = Dns();
  listener.delay = {Delay::Kind::kConstant, Milliseconds(10), {}, 0};
  const auto farm = Start(listener);
  const uint16_t port = farm->Ports(0)[0];
  DnsDatagrams client;
  const auto start = std::chrono::steady_clock::now();
  client.Send(port, Ask("delay-60ms.farm.test").Bytes());
  client.Send(port, Ask("first.farm.test").Bytes());
  client.Send(port, Ask("second.farm.test").Bytes());
  std::vector<std::string> names;
  for (int i = 0; i < 3; ++i) names.push_back(DnsSaid::Parse(client.Receive()->bytes)->name);
  EXPECT_THAT(names, ElementsAre("first.farm.test", "second.farm.test", "delay-60ms.farm.test"));
  EXPECT_GE(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(70));
}

TEST(FarmDns, MixesAreDrawnPerQueryOrPerTarget) {
  ListenerConfig listener = Dns();
  listener.mix.shares = {{Behaviour::kNxDomain, 50}};
  auto farm = Start(listener);
  DnsDatagrams client;
  int bad = 0;
  for (int i = 0; i < 200; ++i) bad += client.Ask(farm->Ports(0)[0], Ask("farm.test"))->code() == 3;
  EXPECT_NEAR(bad, 100, 40);
  listener.mix.per = Mix::Per::kTarget;
  farm = Start(listener);
  const uint16_t port = farm->Ports(0)[0];
  bad = 0;
  for (int i = 1; i <= 40; ++i) {
    const std::string address = "127.0.7." + std::to_string(i);
    const int first = client.Ask(port, Ask("farm.test"), address)->code();
    EXPECT_EQ(client.Ask(port, Ask("farm.test"), address)->code(), first) << address;
    FarmClient tcp(port, address);
    tcp.Send(Framed(Ask("farm.test").Bytes())).HalfClose();
    EXPECT_EQ(DnsSaid::Parse(Unframed(tcp.ReadAll()).at(0))->code(), first) << address;
    bad += first == 3;
  }
  EXPECT_GT(bad, 5);
  EXPECT_LT(bad, 35);
}

TEST(FarmDns, OverridesHoldForBothTransports) {
  const auto farm = Start(Dns(), 2);
  const uint16_t port = farm->Ports(0)[0];
  ASSERT_TRUE(farm->Override(port, Behaviour::kRefused));
  DnsDatagrams client;
  EXPECT_EQ(client.Ask(port, Ask("farm.test"))->code(), 5);
  FarmClient tcp(port);
  tcp.Send(Framed(Ask("farm.test").Bytes())).HalfClose();
  EXPECT_EQ(DnsSaid::Parse(Unframed(tcp.ReadAll()).at(0))->code(), 5);
  ASSERT_TRUE(farm->Override(port, std::nullopt));
  EXPECT_EQ(client.Ask(port, Ask("farm.test"))->code(), 0);
}

TEST(FarmDns, SeveralThreadsAnswerManyQueries) {
  const auto farm = Start(Dns(), 3);
  constexpr int kClients = 20, kQueries = 50;
  int answered = 0;
  for (int i = 0; i < kClients; ++i) {
    DnsDatagrams client;
    std::set<int> wanted;
    for (uint16_t id = 0; id < kQueries; ++id) {
      DnsAsk ask = Ask("farm.test");
      ask.id = id;
      client.Send(farm->Ports(0)[0], ask.Bytes());
    }
    for (int q = 0; q < kQueries; ++q) {
      const auto got = client.Receive();
      answered += got && wanted.insert(DnsSaid::Parse(got->bytes)->id).second;
    }
  }
  EXPECT_EQ(answered, kClients * kQueries);
}

TEST(FarmDns, OverTls) {
  ListenerConfig listener = Dns();
  listener.kind = Kind::kDot;
  const auto farm = Start(listener);
  FarmClient client(farm->Ports(0)[0]);
  std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context(SSL_CTX_new(TLS_client_method()),
                                                            SSL_CTX_free);
  std::unique_ptr<SSL, decltype(&SSL_free)> ssl(SSL_new(context.get()), SSL_free);
  SSL_set_fd(ssl.get(), client.fd());
  ASSERT_EQ(SSL_connect(ssl.get()), 1);
  const std::string query = Framed(Ask("www.farm.test").Bytes());
  ASSERT_EQ(SSL_write(ssl.get(), query.data(), static_cast<int>(query.size())),
            static_cast<int>(query.size()));
  char bytes[1024];
  const int size = SSL_read(ssl.get(), bytes, sizeof(bytes));
  ASSERT_GT(size, 0);
  const auto messages = Unframed({bytes, static_cast<size_t>(size)});
  ASSERT_EQ(messages.size(), 1u);
  EXPECT_THAT(DnsSaid::Parse(messages[0])->Data(kA), ElementsAre(kLocalhost));
}

TEST(FarmDns, BadZonesDoNotStart) {
  FarmConfig config;
  config.listeners = {Dns()};
  config.listeners[0].zones = {{"shop.test", 60, {"@ A nonsense"}}};
  const auto farm = Farm::Start(config);
  ASSERT_FALSE(farm.ok());
  EXPECT_THAT(std::string(farm.status().message()), HasSubstr("'@ A nonsense'"));
}

}  // namespace
}  // namespace sonde
