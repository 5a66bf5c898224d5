#include "engine/loop/resolver.h"

#include <fcntl.h>

#include <cstdio>
#include <fstream>
#include <map>
#include <string>

#include "tests/engine/loop/loop_harness.h"

namespace sonde {
namespace {

using Kind = NetworkEvent::Kind;
constexpr SlotRef kSlot{1, 1}, kOther{2, 1};
constexpr uint16_t kA = 1, kAaaa = 28;

// A name server of our own: one UDP socket, answers by {name, type}, NXDOMAIN for the rest.
class NameServer {
 public:
  struct Reply {
    int rcode = 0;
    std::vector<std::string> addresses;
    uint32_t ttl = 60;
    bool silent = false;
    bool garbage = false;  // the question is right, the rest is not
    bool alien = false;    // not an answer to the question
  };
  std::map<std::pair<std::string, uint16_t>, Reply> replies;
  std::vector<std::pair<std::string, uint16_t>> asked;

  NameServer() : socket_(::socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) {
    const SocketAddress any(Local("127.0.0.1", 0));
    EXPECT_EQ(bind(socket_.get(), any.get(), any.size()), 0);
  }
  int fd() const { return socket_.get(); }
  Address address() const { return NameOf(socket_.get()); }
  size_t Asked(const std::string& name, uint16_t type) const {
    size_t count = 0;
    for (const auto& question : asked) count += question == std::pair(name, type);
    return count;
  }

  void Serve() {
    uint8_t query[512];
    sockaddr_in from{};
    for (;;) {
      socklen_t size = sizeof from;
      const ssize_t count = recvfrom(socket_.get(), query, sizeof query, 0,
                                     reinterpret_cast<sockaddr*>(&from), &size);
      if (count < 17) return;
      const std::string reply = Answer({query, static_cast<size_t>(count)});
      if (reply.empty()) continue;
      sendto(socket_.get(), reply.data(), reply.size(), 0, reinterpret_cast<sockaddr*>(&from),
             size);
    }
  }

 private:
  std::string Answer(Bytes query) {
    std::string name;
    size_t at = 12;
    while (at < query.size() && query[at] != 0) {
      if (!name.empty()) name += '.';
      name.append(AsText(query).substr(at + 1, query[at]));
      at += query[at] + 1u;
    }
    const uint16_t type = static_cast<uint16_t>(query[at + 1] << 8 | query[at + 2]);
    asked.emplace_back(name, type);
    const auto found = replies.find({name, type});
    const Reply reply = found != replies.end() ? found->second : Reply{.rcode = 3};
    if (reply.silent) return {};
    std::string out(AsText(query).substr(0, at + 5));
    out[2] = static_cast<char>(0x81);
    out[3] = static_cast<char>(0x80 | reply.rcode);
    out[7] = static_cast<char>(reply.addresses.size());
    out[11] = 0;  // no additional records
    if (reply.alien) return out.substr(0, 4) + std::string(8, '\x01') + "\xff\xff\xff";
    if (reply.garbage) out[7] = 9;  // more answers than there are
    for (const std::string& text : reply.addresses) {
      const Address address = *Address::ParseLiteral(text);
      const size_t length = address.family == IpFamily::kV4 ? 4 : 16;
      out += {'\xc0', '\x0c', 0, static_cast<char>(type), 0, 1};
      for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(reply.ttl >> shift);
      out += {0, static_cast<char>(length)};
      out.append(reinterpret_cast<const char*>(address.bytes.data()), length);
    }
    return out;
  }

  Descriptor socket_;
};

class ResolverTest : public LoopTest {
 protected:
  ResolverTest() {
    char path[] = "/tmp/sonde-resolv-XXXXXX";
    close(mkstemp(path));
    resolv_conf_ = path;
    std::ofstream(resolv_conf_) << "search corp.test\noptions ndots:1\n";
    Reopen();
    options_.name_servers = {server_.address()};
    options_.preferred_family = IpFamily::kV4;
    options_.fallback = false;
  }
  ~ResolverTest() override { std::remove(resolv_conf_.c_str()); }

  void Reopen(const DnsCacheOptions& cache = {}) {
    ResolverOptions options;
    options.timeout = Milliseconds(60);
    options.tries = 2;
    options.resolv_conf = resolv_conf_;
    options.cache = cache;
    Open(options);
  }
  std::optional<ResolveAnswer> Ask(std::string_view host, SlotRef slot = kSlot,
                                   Duration later = {}) {
    return resolver_->Resolve(slot, host, options_, MonotonicNow() + later);
  }
  // Asks and turns the loop until the answer is there.
  ResolveAnswer Get(std::string_view host, SlotRef slot = kSlot, Duration later = {}) {
    if (auto answer = Ask(host, slot, later)) return *answer;
    events_.all.clear();
    EXPECT_TRUE(Turn([&] { return events_.Last(Kind::kResolved, slot) != nullptr; })) << host;
    const NetworkEvent* event = events_.Last(Kind::kResolved, slot);
    return event != nullptr ? event->answer : ResolveAnswer{};
  }
  bool Turn(const std::function<bool()>& done) {
    return RunUntil(done, server_.fd(), [&] { server_.Serve(); });
  }
  void Serve(const std::string& name, uint16_t type, std::vector<std::string> addresses,
             uint32_t ttl = 60) {
    server_.replies[{name, type}] = {.addresses = std::move(addresses), .ttl = ttl};
  }

  NameServer server_;
  std::string resolv_conf_;
  NetworkOptions options_;
};

TEST_F(ResolverTest, LiteralsNeedNobody) {
  EXPECT_EQ(Ask("192.0.2.1")->address.Host(), "192.0.2.1");
  EXPECT_EQ(Ask("192.0.2.1")->outcome, Outcome::kOk);
  EXPECT_EQ(Ask("2001:db8::1")->outcome, Outcome::kDnsNoAddress);  // the other family
  EXPECT_EQ(Ask("::ffff:192.0.2.1")->address.Host(), "192.0.2.1");
  options_.fallback = true;
  EXPECT_EQ(Ask("2001:db8::1")->address.Host(), "2001:db8::1");
  EXPECT_EQ(Ask("::fffe:192.0.2.1")->address.family, IpFamily::kV6);
  EXPECT_TRUE(server_.asked.empty());
}

TEST_F(ResolverTest, AsksForTheFamilyWanted) {
  Serve("www.shop.test", kA, {"192.0.2.7", "192.0.2.8"});
  Serve("www.shop.test", kAaaa, {"2001:db8::7"});
  const ResolveAnswer v4 = Get("www.shop.test");
  EXPECT_EQ(v4.address.Host(), "192.0.2.7");
  EXPECT_FALSE(v4.cached);
  EXPECT_TRUE(v4.at.stamped());
  EXPECT_EQ(server_.Asked("www.shop.test", kAaaa), 0u);
  options_.preferred_family = IpFamily::kV6;
  EXPECT_EQ(Get("www.shop.test").address.Host(), "2001:db8::7");
}

TEST_F(ResolverTest, FallbackTakesTheLastOfTheOtherFamily) {
  options_.preferred_family = IpFamily::kV6;
  options_.fallback = true;
  Serve("v4.test", kA, {"192.0.2.1", "192.0.2.2", "192.0.2.3"});
  Serve("v4.test", kAaaa, {});
  EXPECT_EQ(Get("v4.test").address.Host(), "192.0.2.3");
  Serve("both.test", kA, {"192.0.2.1"});
  Serve("both.test", kAaaa, {"2001:db8::1", "2001:db8::2"});
  EXPECT_EQ(Get("both.test").address.Host(), "2001:db8::1");
}

TEST_F(ResolverTest, FallbackSurvivesAServerThatFailsForOneFamily) {
  options_.preferred_family = IpFamily::kV6;
  options_.fallback = true;
  Serve("half.test", kA, {"192.0.2.1"});
  server_.replies[{"half.test", kAaaa}] = {.rcode = 2};
  EXPECT_EQ(Get("half.test").address.Host(), "192.0.2.1");
}

TEST_F(ResolverTest, EachFailureHasItsName) {
  Serve("nodata.test", kA, {});
  server_.replies[{"servfail.test", kA}] = {.rcode = 2};
  server_.replies[{"refused.test", kA}] = {.rcode = 5};
  server_.replies[{"garbage.test", kA}] = {.addresses = {"192.0.2.1"}, .garbage = true};
  server_.replies[{"alien.test", kA}] = {.alien = true};
  server_.replies[{"silent.test", kA}] = {.silent = true};
  EXPECT_EQ(Get("nothing.test").outcome, Outcome::kDnsNotFound);
  EXPECT_EQ(Get("nodata.test").outcome, Outcome::kDnsNoAddress);
  EXPECT_EQ(Get("servfail.test").outcome, Outcome::kDnsServerFailure);
  EXPECT_EQ(Get("refused.test").outcome, Outcome::kDnsRefused);
  EXPECT_EQ(Get("garbage.test").outcome, Outcome::kDnsMalformed);
  EXPECT_EQ(Get("alien.test").outcome, Outcome::kDnsTimeout);  // could come from anybody
  EXPECT_EQ(Get("silent.test").outcome, Outcome::kDnsTimeout);
  EXPECT_GE(server_.Asked("silent.test", kA), 2u);  // tries
  EXPECT_EQ(resolver_->outstanding(), 0u);
  EXPECT_FALSE(resolver_->NextTimeout().stamped());
}

TEST_F(ResolverTest, AServerThatIsNotThere) {
  Descriptor gone(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const SocketAddress any(Local("127.0.0.1", 0));
  ASSERT_EQ(bind(gone.get(), any.get(), any.size()), 0);
  options_.name_servers = {NameOf(gone.get())};
  gone.Reset();
  EXPECT_EQ(Get("www.test").outcome, Outcome::kDnsUnreachable);
}

TEST_F(ResolverTest, TheNextServerIsAskedWhenOneFails) {
  NameServer broken;
  broken.replies[{"www.test", kA}] = {.rcode = 2};
  broken.replies[{"bad.test", kA}] = {.rcode = 2};
  server_.replies[{"bad.test", kA}] = {.rcode = 2};
  Serve("www.test", kA, {"192.0.2.1"});
  options_.name_servers = {broken.address(), server_.address()};
  const auto get = [&](std::string_view host) {
    if (auto answer = Ask(host)) return *answer;
    events_.all.clear();
    EXPECT_TRUE(RunUntil([&] { return events_.Last(Kind::kResolved, kSlot) != nullptr; },
                         server_.fd(),
                         [&] {
                           server_.Serve();
                           broken.Serve();
                         }));
    return events_.Last(Kind::kResolved, kSlot)->answer;
  };
  EXPECT_EQ(get("www.test").address.Host(), "192.0.2.1");
  EXPECT_EQ(get("bad.test").outcome, Outcome::kDnsServerFailure);  // of all of them
}

TEST_F(ResolverTest, NamesThatCannotBe) {
  EXPECT_EQ(Ask("")->outcome, Outcome::kDnsNotFound);
  EXPECT_EQ(Ask(".")->outcome, Outcome::kDnsNotFound);
  EXPECT_EQ(Ask("a b")->outcome, Outcome::kDnsNotFound);
  EXPECT_EQ(Ask(std::string_view("a\0b", 3))->outcome, Outcome::kDnsNotFound);
  EXPECT_EQ(Ask(std::string(256, 'a'))->outcome, Outcome::kDnsNotFound);
  EXPECT_EQ(Get(std::string(64, 'a') + ".test").outcome, Outcome::kDnsNotFound);
  EXPECT_EQ(Get("a..test").outcome, Outcome::kDnsNotFound);
  EXPECT_TRUE(server_.asked.empty());
}

TEST_F(ResolverTest, LocalHostIsNeverAsked) {
  EXPECT_EQ(Ask("LocalHost")->address.Host(), "127.0.0.1");
  EXPECT_EQ(Ask("localhost.")->address.Host(), "127.0.0.1");
  EXPECT_EQ(Ask("app.localhost")->address.Host(), "127.0.0.1");
  options_.preferred_family = IpFamily::kV6;
  EXPECT_EQ(Ask("localhost")->address.Host(), "::1");
}

TEST_F(ResolverTest, SearchListAndTrailingDot) {
  Serve("db.corp.test", kA, {"192.0.2.5"});
  EXPECT_EQ(Get("db").address.Host(), "192.0.2.5");
  EXPECT_EQ(Get("db.").outcome, Outcome::kDnsNotFound);
  Serve("www.test", kA, {"192.0.2.6"});
  EXPECT_EQ(Get("www.test.").address.Host(), "192.0.2.6");
  EXPECT_EQ(server_.Asked("www.test", kA), 1u);
}

TEST_F(ResolverTest, TheHostsFileComesFirst) {
  Serve("db.test", kA, {"192.0.2.5"});
  resolver_->SetHosts(
      HostsTable::Parse("10.0.0.1 db.test alias # comment\n"
                        "nonsense db.test\n"
                        "10.0.0.2\tDB.test\n"
                        "fd00::1 six.test\n"));
  EXPECT_EQ(Ask("Db.Test.")->address.Host(), "10.0.0.1");
  EXPECT_EQ(Ask("alias")->address.Host(), "10.0.0.1");
  EXPECT_EQ(Ask("six.test")->outcome, Outcome::kDnsNoAddress);
  options_.preferred_family = IpFamily::kV6;
  options_.fallback = true;
  EXPECT_EQ(Ask("db.test")->address.Host(), "10.0.0.2");  // the last of the other family
  EXPECT_EQ(Ask("six.test")->address.Host(), "fd00::1");
  EXPECT_TRUE(server_.asked.empty());
  EXPECT_EQ(resolver_->counters().hits, 0u);
}

TEST_F(ResolverTest, AnswersAreKeptForTheirTtl) {
  Serve("www.test", kA, {"192.0.2.1"}, 30);
  EXPECT_FALSE(Get("www.test").cached);
  Serve("www.test", kA, {"192.0.2.2"}, 30);
  const auto kept = Ask("WWW.test", kSlot, Seconds(29));
  ASSERT_TRUE(kept);
  EXPECT_TRUE(kept->cached);
  EXPECT_EQ(kept->address.Host(), "192.0.2.1");
  EXPECT_EQ(Get("www.test", kSlot, Seconds(31)).address.Host(), "192.0.2.2");
  EXPECT_EQ(resolver_->counters().hits, 1u);
  EXPECT_EQ(resolver_->counters().misses, 2u);
}

TEST_F(ResolverTest, TtlsAreClamped) {
  Serve("zero.test", kA, {"192.0.2.1"}, 0);
  Serve("eternal.test", kA, {"192.0.2.1"}, 0x7fffffff);
  Get("zero.test");
  Get("eternal.test");
  EXPECT_TRUE(Ask("zero.test", kSlot, Milliseconds(500)));
  EXPECT_TRUE(Ask("eternal.test", kSlot, Seconds(299)));
  EXPECT_FALSE(Ask("eternal.test", kSlot, Seconds(302)));
}

TEST_F(ResolverTest, AbsenceIsKeptShortlyAndSilenceNever) {
  server_.replies[{"silent.test", kA}] = {.silent = true};
  Get("nothing.test");
  Get("silent.test");
  EXPECT_EQ(Ask("nothing.test", kSlot, Seconds(4))->outcome, Outcome::kDnsNotFound);
  EXPECT_FALSE(Ask("nothing.test", kSlot, Seconds(6)));
  EXPECT_FALSE(Ask("silent.test"));
}

TEST_F(ResolverTest, TheCacheIsBounded) {
  DnsCacheOptions cache;
  cache.entries = 2;
  Reopen(cache);
  for (const char* name : {"a.test", "b.test", "c.test"}) {
    Serve(name, kA, {"192.0.2.1"});
    Get(name);
    // Used again: b is the oldest from now on.
    EXPECT_EQ(Ask("a.test").has_value(), true) << name;
  }
  EXPECT_EQ(resolver_->cached(), 2u);
  EXPECT_TRUE(Ask("a.test"));
  EXPECT_TRUE(Ask("c.test"));
  EXPECT_FALSE(Ask("b.test"));
}

TEST_F(ResolverTest, WhoAsksTheSameAtOnceSharesTheQuestion) {
  Serve("www.test", kA, {"192.0.2.1"});
  EXPECT_FALSE(Ask("www.test", kSlot));
  EXPECT_FALSE(Ask("WWW.TEST", kOther));
  ASSERT_TRUE(Turn([&] { return events_.all.size() == 2; }));
  EXPECT_EQ(server_.Asked("www.test", kA), 1u);
  EXPECT_EQ(events_.Last(Kind::kResolved, kOther)->answer.address.Host(), "192.0.2.1");
  EXPECT_EQ(resolver_->counters().queries, 1u);
}

TEST_F(ResolverTest, WithoutTheCacheEveryQuestionIsAsked) {
  options_.resolver_cache = false;
  Serve("www.test", kA, {"192.0.2.1"});
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(Get("www.test").cached);
  EXPECT_EQ(server_.Asked("www.test", kA), 3u);
  EXPECT_EQ(resolver_->cached(), 0u);
}

TEST_F(ResolverTest, CancelledQuestionsAreNotAnswered) {
  Serve("www.test", kA, {"192.0.2.1"});
  EXPECT_FALSE(Ask("www.test", kSlot));
  resolver_->Cancel(kSlot);
  resolver_->Cancel(SlotRef{99, 1});
  ASSERT_TRUE(Turn([&] { return resolver_->outstanding() == 0; }));
  EXPECT_TRUE(events_.all.empty());
  EXPECT_TRUE(Ask("www.test"));  // what came is kept all the same
}

// A slot asks again before the first answer is there: only the second question counts.
TEST_F(ResolverTest, AReusedSlotGetsItsOwnAnswer) {
  Serve("old.test", kA, {"192.0.2.1"});
  Serve("new.test", kA, {"192.0.2.2"});
  EXPECT_FALSE(Ask("old.test", {1, 1}));
  EXPECT_FALSE(Ask("new.test", {1, 2}));
  ASSERT_TRUE(Turn([&] { return resolver_->outstanding() == 0 && !resolver_->pending(); }));
  ASSERT_EQ(events_.all.size(), 1u);
  EXPECT_EQ(events_.all[0].slot, (SlotRef{1, 2}));
  EXPECT_EQ(events_.all[0].answer.address.Host(), "192.0.2.2");
}

TEST_F(ResolverTest, OutstandingQuestionsAreBounded) {
  ResolverOptions options;
  options.resolv_conf = resolv_conf_;
  options.max_lookups = 1;
  Open(options);
  server_.replies[{"a.test", kA}] = {.silent = true};
  EXPECT_FALSE(Ask("a.test", kSlot));
  EXPECT_EQ(Ask("b.test", kOther)->outcome, Outcome::kProberMemory);
  EXPECT_EQ(resolver_->counters().refused, 1u);
}

TEST_F(ResolverTest, AnswersOnTheWaySurviveAReload) {
  Serve("www.test", kA, {"192.0.2.1"});
  EXPECT_FALSE(Ask("www.test"));
  resolver_->ReloadSystemServers();
  ASSERT_TRUE(Turn([&] { return !events_.all.empty(); }));
  EXPECT_EQ(events_.all[0].answer.address.Host(), "192.0.2.1");
  EXPECT_FALSE(Ask("www.test"));  // new servers may say otherwise
}

TEST_F(ResolverTest, ServerSetsDoNotMix) {
  NameServer inner;
  inner.replies[{"www.test", kA}] = {.addresses = {"10.0.0.1"}};
  Serve("www.test", kA, {"192.0.2.1"});
  EXPECT_EQ(Get("www.test").address.Host(), "192.0.2.1");
  options_.name_servers = {inner.address()};
  EXPECT_FALSE(Ask("www.test"));
  ASSERT_TRUE(RunUntil(
      [&] {
        return events_.Last(Kind::kResolved, kSlot) != nullptr && resolver_->outstanding() == 0;
      },
      inner.fd(), [&] { inner.Serve(); }));
  EXPECT_EQ(events_.Last(Kind::kResolved, kSlot)->answer.address.Host(), "10.0.0.1");
}

TEST(HostsTableTest, OddFiles) {
  EXPECT_EQ(HostsTable::Parse("")->size(), 0u);
  EXPECT_EQ(HostsTable::Parse("\n\n#\n   \n10.0.0.1\n10.0.0.1 .\n")->size(), 0u);
  const auto table = HostsTable::Parse("\t::1  a  b\r\n127.0.0.1 c#d\n127.0.0.1 last");
  EXPECT_EQ(table->size(), 4u);
  EXPECT_NE(table->Find("b"), nullptr);
  EXPECT_NE(table->Find("c"), nullptr);
  EXPECT_NE(table->Find("last"), nullptr);
  EXPECT_EQ(table->Find("d"), nullptr);
}

}  // namespace
}  // namespace sonde
