// UDP and ICMP over real sockets of the loopback interface.
#include "engine/loop/datagram_sockets.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <set>
#include <string>

#include "engine/loop/socket_address.h"
#include "engine/loop/socket_options.h"
#include "engine/shard/echo_message.h"
#include "engine/shard/network_error.h"
#include "tests/engine/loop/loop_harness.h"

namespace sonde {
namespace {

constexpr SlotRef kSlot{1, 1};

// A UDP socket that answers by hand.
class Peer {
 public:
  explicit Peer(const char* host) {
    Address any = *Address::ParseLiteral(host);
    fd_ = socket(any.family == IpFamily::kV4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    const SocketAddress name(any);
    EXPECT_EQ(bind(fd_, name.get(), name.size()), 0);
    sockaddr_in6 bound{};
    socklen_t size = sizeof bound;
    getsockname(fd_, reinterpret_cast<sockaddr*>(&bound), &size);
    address = AddressFrom(reinterpret_cast<sockaddr*>(&bound));
  }
  ~Peer() { close(fd_); }

  // Sends back what came, `times` times. How many came.
  int Echo(int times = 1) {
    int count = 0;
    for (;;) {
      char buffer[2048];
      sockaddr_in6 from{};
      socklen_t size = sizeof from;
      const ssize_t n =
          recvfrom(fd_, buffer, sizeof buffer, 0, reinterpret_cast<sockaddr*>(&from), &size);
      if (n < 0) return count;
      ++count;
      for (int i = 0; i < times; ++i) {
        sendto(fd_, buffer, static_cast<size_t>(n), 0, reinterpret_cast<sockaddr*>(&from), size);
      }
    }
  }
  int fd() const { return fd_; }
  Address address;

 private:
  int fd_;
};

class DatagramSocketsTest : public LoopTest {
 protected:
  SharedSocket JoinUdp(IpFamily family = IpFamily::kV4, const NetworkOptions& options = {}) {
    return network_->Join(Transport::kUdp, family, options, {});
  }
  SharedSocket JoinIcmp(IpFamily family, const DatagramOptions& options = {}) {
    return network_->Join(Transport::kIcmp, family, {}, options);
  }
  std::vector<uint8_t> EchoRequest(IpFamily family, uint16_t id, uint16_t sequence) {
    std::vector<uint8_t> out;
    AppendEchoRequest(family, id, sequence, 0x1122334455667788, AsBytes("12345678payload"), &out);
    return out;
  }
  bool RunUntilDatagrams(size_t count, Peer* peer = nullptr, int times = 1) {
    return RunUntil([&] { return events_.datagrams.size() >= count; }, peer ? peer->fd() : -1,
                    [&] {
                      if (peer) peer->Echo(times);
                    });
  }
  // The kernel's stamps of `sent`, whose numbers count from 0: after we had begun to send each, and
  // (when each was sent alone) before the next.
  void ExpectStamps(const std::vector<SentDatagram>& sent, bool alone) {
    constexpr Duration kClocks = Microseconds(3);  // taking civil stamps to the monotonic clock
    ASSERT_TRUE(RunUntil([&] { return events_.stamped.size() >= sent.size(); }));
    for (size_t i = 0; i < sent.size(); ++i) {
      EXPECT_EQ(events_.stamped[i].number, i);
      EXPECT_EQ(events_.stamped[i].slot, kSlot);
      EXPECT_EQ(events_.stamped[i].clock, StampClock::kKernel);
      EXPECT_LT(events_.stamped[i].at - sent[i].at, Milliseconds(20));
      if (!alone) continue;
      EXPECT_GE(events_.stamped[i].at, sent[i].at - kClocks);
      if (i > 0) { EXPECT_LE(events_.stamped[i - 1].at, sent[i].at + kClocks); }
    }
  }
};

TEST_F(DatagramSocketsTest, UdpGoesAndComes) {
  for (const char* host : {"127.0.0.1", "::1"}) {
    events_ = {};
    Peer peer(host);
    const SharedSocket shared = JoinUdp(peer.address.family);
    ASSERT_NE(shared.socket, kNoSocket) << ErrorText(shared.error);
    for (uint16_t i = 0; i < 200; ++i) {
      network_->Queue(shared.socket, peer.address, AsBytes("question " + std::to_string(i)), kSlot,
                      i);
    }
    EXPECT_EQ(network_->queued(), 200u);
    const Instant before = MonotonicNow();
    const auto sent = network_->SendQueued();
    const Instant after = MonotonicNow();
    ASSERT_EQ(sent.size(), 200u);
    for (size_t i = 0; i < sent.size(); ++i) {
      EXPECT_EQ(sent[i].number, i);
      EXPECT_EQ(sent[i].error, 0);
      EXPECT_GE(sent[i].at, before);
      EXPECT_LE(sent[i].at, after);
      EXPECT_GE(sent[i].at, sent[i > 0 ? i - 1 : 0].at);
    }
    EXPECT_EQ(network_->queued(), 0u);
    ASSERT_TRUE(RunUntilDatagrams(200, &peer));
    for (size_t i = 0; i < 200; ++i) {
      EXPECT_EQ(events_.payloads[i], "question " + std::to_string(i));
      EXPECT_EQ(events_.datagrams[i].from, peer.address);
      EXPECT_EQ(events_.datagrams[i].socket, shared.socket);
      EXPECT_EQ(events_.datagrams[i].ttl, -1) << "asked of echoes only";
      EXPECT_LE(events_.datagrams[i].at, MonotonicNow());
      EXPECT_GE(events_.datagrams[i].at, before);
    }
    network_->Leave(shared.socket);
  }
}

// A socket's first packets may come without a stamp: the kernel switches stamping on a little
// later.
TEST_F(DatagramSocketsTest, TheKernelStampsArrivals) {
  Peer peer("127.0.0.1");
  const SharedSocket shared = JoinUdp();
  for (int i = 0; i < 50; ++i) {
    network_->Queue(shared.socket, peer.address, AsBytes("q"), kSlot, 0);
    network_->SendQueued();
    ASSERT_TRUE(RunUntilDatagrams(static_cast<size_t>(i) + 1, &peer));
    const ReceivedDatagram& last = events_.datagrams.back();
    if (last.clock == StampClock::kKernel) {
      EXPECT_LT(MonotonicNow() - last.at, Seconds(5));
      return;
    }
    poll(nullptr, 0, 20);
  }
  FAIL() << "never a stamp of the kernel's";
}

TEST_F(DatagramSocketsTest, TheKernelStampsDeparturesOfSmallBatches) {
  Peer peer("127.0.0.1");
  const SharedSocket shared = JoinUdp();
  std::vector<SentDatagram> sent;
  for (uint16_t i = 0; i < 20; ++i) {
    network_->Queue(shared.socket, peer.address, AsBytes("q"), kSlot, i);
    for (const SentDatagram& told : network_->SendQueued()) sent.push_back(told);
  }
  ExpectStamps(sent, true);
}

TEST_F(DatagramSocketsTest, TheKernelStampsDeparturesOfLargeBatchesWhenAsked) {
  for (const bool asked : {false, true}) {
    events_ = {};
    Open({}, 64, {.transmit_stamps = asked});
    Peer peer("127.0.0.1");
    const SharedSocket shared = JoinUdp();
    for (uint16_t i = 0; i < 20; ++i) {
      network_->Queue(shared.socket, peer.address, AsBytes("q"), kSlot, i);
    }
    const auto told = network_->SendQueued();
    const std::vector<SentDatagram> sent(told.begin(), told.end());
    if (asked) {
      ExpectStamps(sent, false);
      continue;
    }
    RunUntilDatagrams(20, &peer);
    EXPECT_TRUE(events_.stamped.empty());
  }
}

// What the kernel counted without sending does not shift the numbers of what follows.
TEST_F(DatagramSocketsTest, StampsBelongToTheirMessagesAfterAFailure) {
  Peer peer("127.0.0.1");
  const SharedSocket shared = JoinUdp();
  const std::string too_large(70'000, 'x');
  std::vector<SentDatagram> sent;
  for (uint16_t i = 0; i < 20; ++i) {
    if (i % 3 == 1) network_->Queue(shared.socket, peer.address, AsBytes(too_large), kSlot, 1000);
    network_->Queue(shared.socket, peer.address, AsBytes("q"), kSlot, i);
    for (const SentDatagram& told : network_->SendQueued()) {
      if (told.error == 0) sent.push_back(told);
    }
    ASSERT_TRUE(RunUntil([&] { return events_.stamped.size() == sent.size(); }));
  }
  ExpectStamps(sent, true);
}

TEST_F(DatagramSocketsTest, EqualOptionsShareSockets) {
  std::set<SocketId> ids;
  for (int turn = 0; turn < 20; ++turn) {
    const SocketId first = JoinUdp().socket;
    EXPECT_EQ(JoinUdp().socket, first);  // what one turn asks leaves in one batch
    ids.insert(first);
    network_->SendQueued();
  }
  EXPECT_EQ(ids.size(), DatagramSockets::kUdpPool);
  NetworkOptions marked;
  marked.dscp = 46;
  EXPECT_EQ(ids.count(JoinUdp(IpFamily::kV4, marked).socket), 0u);
  EXPECT_EQ(ids.count(JoinUdp(IpFamily::kV6).socket), 0u);
}

TEST(DatagramSocketOptions, OnlyWhatMayBeTooLargeIsDivided) {
  using Fragments = DatagramOptions::Fragments;
  const auto discovers = [](Transport transport, Fragments fragments) {
    const auto opened =
        OpenDatagramSocket({.transport = transport, .datagram = {.fragments = fragments}});
    EXPECT_EQ(opened.error, 0);
    int value = -1;
    socklen_t size = sizeof value;
    EXPECT_EQ(getsockopt(opened.fd, IPPROTO_IP, IP_MTU_DISCOVER, &value, &size), 0);
    close(opened.fd);
    return value;
  };
  for (const Transport transport : {Transport::kUdp, Transport::kIcmp}) {
    EXPECT_EQ(discovers(transport, Fragments::kAllowed), IP_PMTUDISC_DONT);
    EXPECT_EQ(discovers(transport, DatagramOptions().fragments), IP_PMTUDISC_PROBE);
    EXPECT_EQ(discovers(transport, Fragments::kForbidden), IP_PMTUDISC_PROBE);
  }
}

TEST_F(DatagramSocketsTest, SocketsNobodyUsesMakeRoom) {
  NetworkOptions options;
  for (int ttl = 1; ttl <= 255; ++ttl) {
    for (int dscp = 0; dscp < 4; ++dscp) {
      options.dscp = dscp;
      const SharedSocket shared =
          network_->Join(Transport::kUdp, IpFamily::kV4, options, {.ttl = ttl});
      ASSERT_NE(shared.socket, kNoSocket) << ttl << " " << ErrorText(shared.error);
      network_->Leave(shared.socket);
      ASSERT_LE(network_->datagrams().open(), DatagramSockets::kMostSockets);
    }
  }
}

TEST_F(DatagramSocketsTest, ClosedPortsAreReported) {
  for (const char* host : {"127.0.0.1", "::1"}) {
    events_ = {};
    Address closed;
    { closed = Peer(host).address; }
    Peer open(host);
    const SharedSocket shared = JoinUdp(closed.family);
    network_->Queue(shared.socket, closed, AsBytes("\x12\x34 to a closed port"), kSlot, 0);
    network_->Queue(shared.socket, open.address, AsBytes("\x12\x35 to an open one"), kSlot, 1);
    for (const SentDatagram& sent : network_->SendQueued()) EXPECT_EQ(sent.error, 0);
    // The sockets of the family before may still have errors to tell.
    size_t at = 0;
    ASSERT_TRUE(RunUntil([&] {
      for (at = 0; at < events_.errors.size(); ++at) {
        if (events_.errors[at].to == closed) return true;
      }
      return false;
    }));
    const DatagramError error = events_.errors[at];
    EXPECT_EQ(error.error, ECONNREFUSED);
    EXPECT_EQ(events_.quoted[at].substr(0, 2), "\x12\x34");
    EXPECT_EQ(IcmpErrorOf(closed.family, error.type, error.code).outcome, Outcome::kConnectRefused);
    ASSERT_TRUE(RunUntilDatagrams(1, &open));
    // An error that waits is not taken for one of the next message.
    for (int i = 0; i < 5; ++i) {
      network_->Queue(shared.socket, closed, AsBytes("\x12\x36 again"), kSlot, 0);
      network_->Queue(shared.socket, open.address, AsBytes("\x12\x37 again"), kSlot, 1);
      const auto sent = network_->SendQueued();
      ASSERT_EQ(sent.size(), 2u);
      EXPECT_EQ(sent[0].error, 0);
      EXPECT_EQ(sent[1].error, 0);
    }
    network_->Leave(shared.socket);
  }
}

TEST_F(DatagramSocketsTest, MessagesThatDoNotFitFail) {
  Peer peer("127.0.0.1");
  const SharedSocket shared = JoinUdp();
  const std::string large(65'520, 'x');
  network_->Queue(shared.socket, peer.address, AsBytes("small"), kSlot, 0);
  network_->Queue(shared.socket, peer.address, AsBytes(large), kSlot, 1);
  network_->Queue(shared.socket, peer.address, AsBytes("small"), kSlot, 2);
  const auto sent = network_->SendQueued();
  ASSERT_EQ(sent.size(), 3u);
  EXPECT_EQ(sent[0].error, 0);
  EXPECT_EQ(sent[1].error, EMSGSIZE);
  EXPECT_EQ(sent[2].error, 0);
}

TEST_F(DatagramSocketsTest, AFullReceiveQueueIsCounted) {
  Peer peer("127.0.0.1");
  const SharedSocket shared = JoinUdp();
  EXPECT_EQ(network_->ReceiveDrops(shared.socket, true), 0u);
  const std::string large(60'000, 'x');
  sockaddr_in name{};
  network_->Queue(shared.socket, peer.address, AsBytes("q"), kSlot, 0);
  network_->SendQueued();
  char buffer[16];
  socklen_t size = sizeof name;
  pollfd wait{peer.fd(), POLLIN, 0};
  poll(&wait, 1, 1000);
  ASSERT_GT(
      recvfrom(peer.fd(), buffer, sizeof buffer, 0, reinterpret_cast<sockaddr*>(&name), &size), 0);
  // More than any receive buffer we may have been given.
  for (int i = 0; i < 1000; ++i) {
    sendto(peer.fd(), large.data(), large.size(), 0, reinterpret_cast<sockaddr*>(&name), size);
  }
  events_ = {};
  network_->DispatchEvents(events_);
  EXPECT_GT(network_->ReceiveDrops(shared.socket, true), 0u);
  EXPECT_GT(network_->datagrams().dropped(), 0u);
  EXPECT_FALSE(events_.datagrams.empty());
}

// ---- ICMP ----

TEST_F(DatagramSocketsTest, EchoesAreAnsweredByTheKernel) {
  for (const char* host : {"127.0.0.1", "127.1.2.3", "::1"}) {
    events_ = {};
    const Address target = *Address::ParseLiteral(host);
    const SharedSocket shared = JoinIcmp(target.family);
    if (shared.socket == kNoSocket && shared.misconfigured) GTEST_SKIP() << "ICMP is not allowed";
    ASSERT_NE(shared.socket, kNoSocket) << ErrorText(shared.error);
    for (uint16_t i = 0; i < 100; ++i) {
      network_->Queue(shared.socket, target, EchoRequest(target.family, shared.echo_id, i), kSlot,
                      i);
    }
    for (const SentDatagram& sent : network_->SendQueued()) EXPECT_EQ(sent.error, 0);
    ASSERT_TRUE(RunUntilDatagrams(100));
    ASSERT_EQ(events_.datagrams.size(), 100u) << "requests do not wake us";
    for (uint16_t i = 0; i < 100; ++i) {
      const auto answer = ParseEchoAnswer(target.family, AsBytes(events_.payloads[i]));
      ASSERT_TRUE(answer);
      EXPECT_EQ(answer->sequence, i);
      EXPECT_EQ(answer->id, shared.echo_id);
      EXPECT_EQ(CookieOf(answer->payload), 0x1122334455667788u);
      EXPECT_EQ(events_.datagrams[i].from, target);
      EXPECT_EQ(events_.datagrams[i].ttl, 64);
    }
  }
}

// Replies to one socket's requests do not reach another.
TEST_F(DatagramSocketsTest, EachIcmpSocketHearsItsOwn) {
  const SharedSocket one = JoinIcmp(IpFamily::kV4, {.ttl = 60});
  const SharedSocket two = JoinIcmp(IpFamily::kV4, {.ttl = 61});
  if (one.socket == kNoSocket && one.misconfigured) GTEST_SKIP() << "ICMP is not allowed";
  ASSERT_NE(one.socket, two.socket);
  const Address target = *Address::ParseLiteral("127.0.0.1");
  network_->Queue(one.socket, target, EchoRequest(IpFamily::kV4, one.echo_id, 1), kSlot, 0);
  network_->Queue(two.socket, target, EchoRequest(IpFamily::kV4, two.echo_id, 2), kSlot, 0);
  network_->Queue(one.socket, target, EchoRequest(IpFamily::kV4, one.echo_id, 3), kSlot, 1);
  network_->SendQueued();
  ASSERT_TRUE(RunUntilDatagrams(3));
  network_->DispatchEvents(events_);
  ASSERT_EQ(events_.datagrams.size(), 3u);
  for (size_t i = 0; i < 3; ++i) {
    const auto answer = ParseEchoAnswer(IpFamily::kV4, AsBytes(events_.payloads[i]));
    EXPECT_EQ(events_.datagrams[i].socket, answer->sequence == 2 ? two.socket : one.socket);
  }
}

TEST_F(DatagramSocketsTest, WrongWishesAreOurOwnTrouble) {
  NetworkOptions options;
  options.interface = "no-such-if0";
  const SharedSocket udp = network_->Join(Transport::kUdp, IpFamily::kV4, options, {});
  EXPECT_EQ(udp.socket, kNoSocket);
  EXPECT_TRUE(udp.misconfigured);
  EXPECT_EQ(udp.error, ENODEV);
  options.interface.clear();
  options.source = *Address::ParseLiteral("192.0.2.1");  // not ours
  EXPECT_TRUE(network_->Join(Transport::kUdp, IpFamily::kV4, options, {}).misconfigured);
  options.source = *Address::ParseLiteral("127.0.0.1");
  EXPECT_EQ(network_->Join(Transport::kUdp, IpFamily::kV6, options, {}).error, EAFNOSUPPORT);
}

TEST_F(DatagramSocketsTest, TheSourceAddressIsUsed) {
  NetworkOptions options;
  options.source = *Address::ParseLiteral("127.5.5.5");
  Peer peer("127.0.0.1");
  const SharedSocket shared = network_->Join(Transport::kUdp, IpFamily::kV4, options, {});
  ASSERT_NE(shared.socket, kNoSocket);
  network_->Queue(shared.socket, peer.address, AsBytes("q"), kSlot, 0);
  network_->SendQueued();
  pollfd wait{peer.fd(), POLLIN, 0};
  poll(&wait, 1, 1000);
  char buffer[16];
  sockaddr_in name{};
  socklen_t size = sizeof name;
  ASSERT_EQ(
      recvfrom(peer.fd(), buffer, sizeof buffer, 0, reinterpret_cast<sockaddr*>(&name), &size), 1);
  EXPECT_EQ(AddressFrom(reinterpret_cast<sockaddr*>(&name)).Host(), "127.5.5.5");
}

}  // namespace
}  // namespace sonde
