// What a stream that ended with RST leaves to the next to the same peer: EpollNetwork's spares.
#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <vector>

#include "tests/engine/loop/loop_harness.h"

namespace sonde {
namespace {

using Kind = NetworkEvent::Kind;
constexpr SlotRef kSlot{3, 7}, kOther{4, 1};

class SpareSocketsTest : public LoopTest {
 protected:
  struct Pair {
    StreamId stream;
    Descriptor peer;
  };
  // As every probe does: what the kernel knows is looked at once.
  Pair Connected(SlotRef slot, const NetworkOptions& options = {}, Address to = {}) {
    if (to.family == IpFamily::kNone) to = NameOf(listener_.get());
    const ConnectResult made = network_->Connect(slot, to, options);
    EXPECT_EQ(made.error, 0) << strerror(made.error);
    Pair pair{made.stream, Accept(listener_)};
    EXPECT_TRUE(RunUntil(Kind::kConnected, slot));
    EXPECT_EQ(network_->Inspect(made.stream).syn_retransmits, 0);
    return pair;
  }
  void Reset(StreamId stream) { network_->Close(stream, NetworkOptions::Close::kReset); }
  std::string Receive(StreamId stream, int* error) {
    uint8_t buffer[64];
    const IoResult result = network_->Receive(stream, buffer);
    *error = result.error;
    return {reinterpret_cast<char*>(buffer), result.count};
  }
  static bool IsReadable(const Descriptor& fd) {
    pollfd waits{fd.get(), POLLIN, 0};
    return poll(&waits, 1, 0) == 1;
  }
  static bool IsOpen(int fd) { return fcntl(fd, F_GETFD) >= 0; }

  Descriptor listener_ = Listen();
};

TEST_F(SpareSocketsTest, AStreamEndedWithResetLeavesItsSocketAndNothingElse) {
  const Pair first = Connected(kSlot);
  EXPECT_EQ(network_->Send(first.stream, AsBytes("ping")).count, 4u);
  ASSERT_EQ(send(first.peer.get(), "unread", 6, 0), 6);
  const size_t left = network_->DescriptorsLeft();
  Reset(first.stream);
  EXPECT_EQ(network_->open(), 0u);
  EXPECT_EQ(network_->DescriptorsLeft(), left + 1);
  EXPECT_EQ(network_->spares(), 1u);
  char bytes[8];
  EXPECT_EQ(recv(first.peer.get(), bytes, 4, MSG_WAITALL), 4);
  EXPECT_EQ(recv(first.peer.get(), bytes, 1, 0), -1);
  EXPECT_EQ(errno, ECONNRESET);

  events_.all.clear();
  const Pair second = Connected(kOther);
  EXPECT_EQ(second.stream, first.stream);
  EXPECT_EQ(network_->spares(), 0u);
  int error = 0;
  EXPECT_EQ(Receive(second.stream, &error), "");
  EXPECT_EQ(error, EAGAIN);
  EXPECT_EQ(network_->Send(second.stream, AsBytes("ping")).count, 4u);
  EXPECT_EQ(recv(second.peer.get(), bytes, sizeof bytes, 0), 4);
  ASSERT_EQ(send(second.peer.get(), "pong", 4, 0), 4);
  const size_t told = events_.Count(Kind::kReadable, kOther);
  ASSERT_TRUE(RunUntil([&] { return events_.Count(Kind::kReadable, kOther) > told; }));
  EXPECT_EQ(Receive(second.stream, &error), "pong");
  for (const NetworkEvent& event : events_.all) EXPECT_EQ(event.slot, kOther);
}

// A spare says EPOLLHUP once; nobody is told.
TEST_F(SpareSocketsTest, NothingIsToldOfASpare) {
  const Pair pair = Connected(kSlot);
  events_.all.clear();
  Reset(pair.stream);
  for (int i = 0; i < 3; ++i) network_->DispatchEvents(events_);
  EXPECT_TRUE(events_.all.empty());
  const Descriptor poller(dup(poller_->fd()));
  EXPECT_FALSE(IsReadable(poller)) << "the loop would not sleep";
}

TEST_F(SpareSocketsTest, OnlyPlainConnectionsThatEndedWithResetLeaveOne) {
  const auto closed = [&](const Pair& pair, NetworkOptions::Close how) {
    network_->Close(pair.stream, how);
    return network_->spares() == 0 && !IsOpen(pair.stream);
  };
  EXPECT_TRUE(closed(Connected(kSlot), NetworkOptions::Close::kFin));
  NetworkOptions source, dscp;
  source.source = Local("127.0.0.2", 0);
  dscp.dscp = 46;
  EXPECT_TRUE(closed(Connected(kSlot, source), NetworkOptions::Close::kReset));
  EXPECT_TRUE(closed(Connected(kSlot, dscp), NetworkOptions::Close::kReset));
  // And only plain ones take it.
  const Pair pair = Connected(kOther);
  Reset(pair.stream);
  EXPECT_NE(Connected(kSlot, dscp).stream, pair.stream);
  EXPECT_EQ(network_->spares(), 1u);
}

TEST_F(SpareSocketsTest, FailuresOnASpareAreTold) {
  const Address peer = NameOf(listener_.get());
  const Pair pair = Connected(kSlot);
  Reset(pair.stream);
  listener_.Reset();
  for (int i = 0; i < 2; ++i) {  // the second after a failure
    events_.all.clear();
    const ConnectResult refused = network_->Connect(kOther, peer, {});
    EXPECT_EQ(refused.stream, pair.stream);
    ASSERT_TRUE(RunUntil(Kind::kConnectFailed, kOther));
    EXPECT_EQ(events_.Last(Kind::kConnectFailed, kOther)->error, ECONNREFUSED);
    EXPECT_EQ(events_.all.size(), 1u);
    Reset(refused.stream);
  }
  EXPECT_EQ(network_->spares(), 1u);
}

// An attempt that is given up leaves its socket as well, and a peer that answers it later gets RST.
TEST_F(SpareSocketsTest, AnAttemptThatNobodyAnsweredLeavesOneToo) {
  Descriptor full = Listen("127.0.0.1", 0);
  std::vector<Descriptor> waiting;
  const SocketAddress name(NameOf(full.get()));
  for (int i = 0; i < 3; ++i) {  // the queue is full: a further SYN is dropped
    waiting.emplace_back(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
    connect(waiting.back().get(), name.get(), name.size());
  }
  const ConnectResult made = network_->Connect(kSlot, NameOf(full.get()), {});
  for (int i = 0; i < 3; ++i) network_->DispatchEvents(events_);
  ASSERT_TRUE(events_.all.empty());
  Reset(made.stream);
  for (int i = 0; i < 3; ++i) network_->DispatchEvents(events_);
  EXPECT_TRUE(events_.all.empty());
  EXPECT_EQ(network_->spares(), 1u);
  waiting.clear();
  while (IsReadable(full)) Accept(full);
  EXPECT_EQ(network_->Connect(kOther, NameOf(full.get()), {}).stream, made.stream);
  ASSERT_TRUE(RunUntil(Kind::kConnected, kOther));
}

// The descriptors of streams and spares together stay within the bound, and spares are half at
// most.
TEST_F(SpareSocketsTest, SparesGiveWay) {
  Open({}, 4);
  std::vector<Pair> pairs;
  for (uint32_t i = 0; i < 4; ++i) pairs.push_back(Connected({10 + i, 1}));
  for (const Pair& pair : pairs) Reset(pair.stream);
  const auto open = [&] {
    return std::ranges::count_if(pairs, [](const Pair& pair) { return IsOpen(pair.stream); });
  };
  EXPECT_EQ(network_->spares(), 2u);
  EXPECT_EQ(open(), 2);
  EXPECT_EQ(network_->DescriptorsLeft(), 4u);
  NetworkOptions dscp;
  dscp.dscp = 46;  // these take sockets of their own
  for (uint32_t i = 0; i < 3; ++i) {
    pairs[i] = Connected({20 + i, 1}, dscp);
    EXPECT_EQ(network_->spares(), i == 0 ? 2u : i == 1 ? 2u : 1u);
  }
  pairs[3] = Connected({30, 1});
  EXPECT_EQ(network_->spares(), 0u);
  EXPECT_EQ(network_->Connect({31, 1}, NameOf(listener_.get()), {}).error, EMFILE);
}

TEST_F(SpareSocketsTest, OverIpv6) {
  listener_ = Listen("::1");
  if (listener_.get() < 0) GTEST_SKIP() << "no IPv6 here";
  const Pair pair = Connected(kSlot);
  Reset(pair.stream);
  EXPECT_EQ(Connected(kOther).stream, pair.stream);
}

// Two events in one batch; the first one's reader ends the second stream and opens another, which
// must not be told what the batch still says of that socket.
TEST_F(SpareSocketsTest, EventsOfTheEndedStreamNeverMeetTheNext) {
  constexpr SlotRef kNew{2, 2};
  const Pair a = Connected(kSlot), b = Connected(kOther);
  ASSERT_EQ(send(a.peer.get(), "x", 1, 0), 1);
  ASSERT_EQ(send(b.peer.get(), "x", 1, 0), 1);
  events_.all.clear();
  StreamId victim = kNoStream;
  events_.react = [&](const NetworkEvent& event) {
    if (event.kind != Kind::kReadable || victim != kNoStream) return;
    victim = event.slot == kSlot ? b.stream : a.stream;
    Reset(victim);
    EXPECT_NE(network_->Connect(kNew, NameOf(listener_.get()), {}).stream, victim);
  };
  ASSERT_TRUE(RunUntil(Kind::kConnected, kNew));
  EXPECT_EQ(events_.Count(Kind::kReadable, kSlot) + events_.Count(Kind::kReadable, kOther), 1u);
  EXPECT_EQ(events_.Count(Kind::kReadable, kNew), 0u);
  events_.react = {};
  EXPECT_EQ(Connected({8, 1}).stream, victim) << "told all, it may be taken";
}

// The same of what a sleep found.
TEST_F(SpareSocketsTest, NoSpareIsTakenWhileASleepsEventsWait) {
  const Pair a = Connected(kSlot);
  ASSERT_EQ(send(a.peer.get(), "x", 1, 0), 1);
  events_.all.clear();
  poller_->Await(kPatience);
  Reset(a.stream);
  const ConnectResult made = network_->Connect(kOther, NameOf(listener_.get()), {});
  EXPECT_NE(made.stream, a.stream);
  ASSERT_TRUE(RunUntil(Kind::kConnected, kOther));
  EXPECT_EQ(events_.all.size(), 1u);
}

// A connection that sent nothing has no stamps of the kernel, whatever its socket did before.
TEST_F(SpareSocketsTest, StampsAreTheStreamsOwn) {
  const Pair first = Connected(kSlot);
  network_->Send(first.stream, AsBytes("ping"));
  Reset(first.stream);
  const ConnectResult made = network_->Connect(kOther, NameOf(listener_.get()), {});
  ASSERT_EQ(made.stream, first.stream);
  const Descriptor peer = Accept(listener_);
  ASSERT_EQ(send(peer.get(), "banner", 6, 0), 6);  // there before the loop looks
  ASSERT_TRUE(RunUntil(Kind::kConnected, kOther));
  uint8_t buffer[16];
  const IoResult banner = network_->Receive(made.stream, buffer);
  EXPECT_EQ(banner.count, 6u);
  EXPECT_GE(banner.at, events_.Last(Kind::kConnected, kOther)->at);
}

// A peer knows the sequence numbers of its own connection, from which the socket's next follow: it
// could answer in another's place.
TEST_F(SpareSocketsTest, OnlyTheSamePeerGetsIt) {
  const Descriptor other = Listen(), elsewhere = Listen("127.0.0.2");
  const Pair pair = Connected(kSlot);
  Reset(pair.stream);
  for (const Descriptor* listener : {&other, &elsewhere}) {
    const ConnectResult made = network_->Connect(kOther, NameOf(listener->get()), {});
    EXPECT_NE(made.stream, pair.stream);
    network_->Close(made.stream, NetworkOptions::Close::kFin);
  }
  EXPECT_EQ(network_->spares(), 1u);
  EXPECT_EQ(Connected(kOther).stream, pair.stream);
}

// As a redirect opens it. Such a stream finds no spare: if it left one, they would become more and
// more.
TEST_F(SpareSocketsTest, AStreamOpenedWithinAnEventLeavesNone) {
  for (uint32_t i = 0; i < 10; ++i) {
    const SlotRef first{10 + i, 1}, second{30 + i, 1};
    const Pair pair = Connected(first);
    StreamId next = kNoStream;
    events_.react = [&](const NetworkEvent& event) {
      if (event.kind != Kind::kReadable || event.slot != first) return;
      Reset(pair.stream);
      next = network_->Connect(second, NameOf(listener_.get()), {}).stream;
    };
    ASSERT_EQ(send(pair.peer.get(), "x", 1, 0), 1);
    ASSERT_TRUE(RunUntil(Kind::kConnected, second));
    Accept(listener_);
    events_.react = {};
    Reset(next);
    EXPECT_EQ(network_->spares(), 1u);
  }
}

TEST_F(SpareSocketsTest, ASpareGivesWayWhenTheProcessHasNoDescriptorLeft) {
  const Pair pair = Connected(kSlot);
  Reset(pair.stream);
  std::vector<Descriptor> all;
  for (;;) {
    all.emplace_back(dup(listener_.get()));
    if (all.back().get() < 0) break;
  }
  NetworkOptions dscp;
  dscp.dscp = 46;
  const ConnectResult made = network_->Connect(kOther, NameOf(listener_.get()), dscp);
  EXPECT_EQ(made.error, 0);
  EXPECT_EQ(network_->spares(), 0u);
  EXPECT_EQ(network_->Connect({5, 1}, NameOf(listener_.get()), dscp).error, EMFILE);
}

Address Peer(uint16_t port) { return Local("127.0.0.1", port); }
Instant At(int64_t ns) { return {ns}; }

TEST(SpareSockets, TheLastOneKeptForAPeerComesFirst) {
  SpareSockets spares(8);
  for (int fd = 10; fd < 16; ++fd) EXPECT_TRUE(spares.Keep(fd, Peer(fd % 2 == 0 ? 2 : 1), At(fd)));
  EXPECT_EQ(spares.size(), 6u);
  EXPECT_EQ(spares.Take(Peer(3)), -1);
  for (const int fd : {14, 12, 10, -1}) EXPECT_EQ(spares.Take(Peer(2)), fd);
  for (const int fd : {15, 13, 11, -1}) EXPECT_EQ(spares.Take(Peer(1)), fd);
  EXPECT_EQ(spares.size(), 0u);
  EXPECT_EQ(spares.TakeOldest(), -1);
}

TEST(SpareSockets, TheOldestOfAllGoesFirst) {
  SpareSockets spares(8);
  for (int fd = 10; fd < 16; ++fd) spares.Keep(fd, Peer(fd % 2 == 0 ? 2 : 1), At(fd));
  EXPECT_EQ(spares.Take(Peer(1)), 15);
  for (const int fd : {10, 11, 12}) EXPECT_EQ(spares.TakeOldest(), fd);
  EXPECT_TRUE(spares.Keep(15, Peer(2), At(16)));
  for (const int fd : {15, 14, -1}) EXPECT_EQ(spares.Take(Peer(2)), fd);
  EXPECT_EQ(spares.TakeOldest(), 13);
  EXPECT_EQ(spares.size(), 0u);
}

// Peers that come round in turn, more of them than there is room: those that have a spare keep it.
// A rule by which the newest stays would leave none to anybody.
TEST(SpareSockets, AFullHouseTakesNoMore) {
  SpareSockets spares(4);
  int found = 0;
  for (int round = 0; round < 5; ++round) {
    for (uint16_t peer = 1; peer <= 8; ++peer) {
      found += spares.Take(Peer(peer)) >= 0;
      EXPECT_EQ(spares.Keep(peer, Peer(peer), At(round)), peer <= 4);
    }
  }
  EXPECT_EQ(found, 4 * 4);
}

TEST(SpareSockets, WhatRestedTooLongGoes) {
  SpareSockets spares(4);
  for (int fd = 1; fd <= 4; ++fd) spares.Keep(fd, Peer(static_cast<uint16_t>(fd)), At(fd));
  EXPECT_EQ(spares.Take(Peer(1)), 1);
  spares.Keep(1, Peer(1), At(5));  // asked for since
  EXPECT_EQ(spares.TakeOldest(At(4)), 2);
  EXPECT_EQ(spares.TakeOldest(At(4)), 3);
  EXPECT_EQ(spares.TakeOldest(At(4)), -1);
  EXPECT_EQ(spares.size(), 2u);
}

}  // namespace
}  // namespace sonde
