#include "engine/loop/epoll_network.h"

#include <atomic>
#include <cerrno>
#include <string>
#include <thread>

#include "tests/engine/loop/loop_harness.h"

namespace sonde {
namespace {

using Kind = NetworkEvent::Kind;
constexpr SlotRef kSlot{3, 7};

// What holds of streams over epoll and over io_uring.
class StreamsTest : public LoopTest, public testing::WithParamInterface<bool> {
 protected:
  void SetUp() override {
    if (!GetParam()) return;
    if (const absl::Status why = Uring::Supported(); !why.ok()) GTEST_SKIP() << why;
    uring_table_ = 16;
    Open({});
  }
  // What is queued leaves at the end of a turn.
  IoResult Send(StreamId stream, Bytes bytes) {
    const IoResult result = network_->Send(stream, bytes);
    network_->Submit();
    return result;
  }
  void Close(StreamId stream, NetworkOptions::Close how) {
    network_->Close(stream, how);
    while (network_->pending()) network_->DispatchEvents(events_);
  }
  // Reads as ProbeTable does: until nothing is there, then after the next event.
  IoResult ReceiveNext(StreamId stream, std::string* into) {
    IoResult result;
    for (int tries = 0; tries < 10; ++tries) {
      const size_t before = events_.Count(Kind::kReadable, kSlot);
      result = Receive(stream, into);
      if (result.error != EAGAIN) return result;
      EXPECT_TRUE(RunUntilReadable(before + 1));
    }
    return result;
  }
  // A connection of `kSlot` to a listener of our own; both ends.
  struct Pair {
    StreamId stream;
    Descriptor peer;
  };
  Pair Connected(const NetworkOptions& options = {}, SlotRef slot = kSlot) {
    const ConnectResult made = network_->Connect(slot, NameOf(listener_.get()), options);
    EXPECT_EQ(made.error, 0) << strerror(made.error);
    Pair pair{made.stream, Accept(listener_)};
    EXPECT_TRUE(RunUntil(Kind::kConnected, slot));
    return pair;
  }
  IoResult Receive(StreamId stream, std::string* into, size_t most = 64 * 1024) {
    std::string buffer(most, '\0');
    const IoResult result =
        network_->Receive(stream, {reinterpret_cast<uint8_t*>(buffer.data()), buffer.size()});
    into->assign(buffer, 0, result.count);
    return result;
  }
  bool RunUntilReadable(size_t times = 1) {
    return RunUntil([&] { return events_.Count(Kind::kReadable, kSlot) >= times; });
  }
  static std::string ReadSome(const Descriptor& fd) {
    char buffer[65536];
    const ssize_t count = recv(fd.get(), buffer, sizeof buffer, 0);
    return count > 0 ? std::string(buffer, static_cast<size_t>(count)) : std::string();
  }

  Descriptor listener_ = Listen();
};
INSTANTIATE_TEST_SUITE_P(Io, StreamsTest, testing::Bool(),
                         [](const auto& io) { return std::string(io.param ? "Uring" : "Epoll"); });

// What is told of descriptors of the process.
class EpollNetworkTest : public StreamsTest {};
INSTANTIATE_TEST_SUITE_P(Io, EpollNetworkTest, testing::Values(false));
// What is told of rings.
class UringNetworkTest : public StreamsTest {};
INSTANTIATE_TEST_SUITE_P(Io, UringNetworkTest, testing::Values(true));

TEST_P(StreamsTest, ConnectsAndExchangesBytes) {
  const Instant before = MonotonicNow();
  Pair pair = Connected();
  EXPECT_GE(events_.Last(Kind::kConnected, kSlot)->at, before);
  const IoResult sent = Send(pair.stream, AsBytes("ping"));
  EXPECT_EQ(sent.count, 4u);
  EXPECT_EQ(sent.error, 0);
  EXPECT_EQ(ReadSome(pair.peer), "ping");
  ASSERT_EQ(send(pair.peer.get(), "pong", 4, 0), 4);
  ASSERT_TRUE(RunUntilReadable());
  std::string text;
  EXPECT_EQ(Receive(pair.stream, &text).error, 0);
  EXPECT_EQ(text, "pong");
  EXPECT_EQ(Receive(pair.stream, &text).error, EAGAIN);
  EXPECT_GE(sent.at, events_.Last(Kind::kConnected, kSlot)->at);
  EXPECT_EQ(events_.Count(Kind::kWritable, kSlot), 0u);
}

// However late the loop looks: an answer carries the moment it arrived. The kernel switches its
// stamps on some time after the first socket asked for them: the first answers may have none.
TEST_P(StreamsTest, AnswersCarryTheKernelsStamp) {
  Pair pair = Connected();
  for (int tries = 0; tries < 100; ++tries) {
    IoResult sent;
    do {
      sent = Send(pair.stream, AsBytes("ping"));
      while (network_->pending()) network_->DispatchEvents(events_);
    } while (sent.error == EAGAIN);
    ASSERT_EQ(send(pair.peer.get(), "pong", 4, 0), 4);  // over loopback it is there at once
    const Instant there = MonotonicNow();
    while (MonotonicNow() < there + Milliseconds(1)) {}
    std::string text;
    const IoResult answer = ReceiveNext(pair.stream, &text);
    EXPECT_EQ(text, "pong");
    EXPECT_GE(answer.at, sent.at);
    if (answer.at > there) continue;
    // What is no arrival is stamped where it is seen.
    pair.peer.Reset();
    EXPECT_GE(ReceiveNext(pair.stream, &text).at, there);
    return;
  }
  FAIL() << "never stamped";
}

TEST_P(StreamsTest, HandsAQuietStreamOver) {
  constexpr SlotRef kOther{9, 1};
  Pair pair = Connected();
  network_->Send(pair.stream, AsBytes("ping"));
  ASSERT_EQ(send(pair.peer.get(), "pong", 4, 0), 4);
  ASSERT_TRUE(RunUntilReadable());
  std::string text;
  EXPECT_EQ(Receive(pair.stream, &text).count, 4u);
  EXPECT_TRUE(network_->HandOver(pair.stream, kOther));
  ASSERT_EQ(send(pair.peer.get(), "more", 4, 0), 4);
  ASSERT_TRUE(RunUntil(Kind::kReadable, kOther));
  EXPECT_EQ(events_.Count(Kind::kReadable, kSlot), 1u);
  // Who read no more than there was room for cannot know that nothing waits.
  EXPECT_EQ(Receive(pair.stream, &text, 4).count, 4u);
  EXPECT_FALSE(network_->HandOver(pair.stream, kSlot));
  EXPECT_EQ(Receive(pair.stream, &text).error, EAGAIN);
  EXPECT_TRUE(network_->HandOver(pair.stream, kSlot));
}

TEST_P(StreamsTest, HandsNoStreamOverThatHasEnded) {
  Pair pair = Connected();
  network_->Send(pair.stream, AsBytes("ping"));
  ASSERT_EQ(send(pair.peer.get(), "bye", 3, 0), 3);
  shutdown(pair.peer.get(), SHUT_WR);
  ASSERT_TRUE(RunUntilReadable());
  std::string text;
  EXPECT_EQ(Receive(pair.stream, &text).count, 3u);
  // The end may have come with the bytes or in an event after them; then it is an event.
  if (network_->HandOver(pair.stream, {9, 1})) {
    ASSERT_TRUE(RunUntil(Kind::kReadable, {9, 1}));
  } else {
    ASSERT_TRUE(RunUntilReadable(2));
  }
  EXPECT_EQ(Receive(pair.stream, &text).count, 0u);
  EXPECT_FALSE(network_->HandOver(pair.stream, kSlot));
}

TEST_P(StreamsTest, ReportsAConnectionOnlyAsAnEvent) {
  const ConnectResult made = network_->Connect(kSlot, NameOf(listener_.get()), {});
  EXPECT_NE(made.stream, kNoStream);
  EXPECT_TRUE(events_.all.empty());
  ASSERT_TRUE(RunUntil(Kind::kConnected, kSlot));
  EXPECT_EQ(events_.all.size(), 1u);
  EXPECT_GE(events_.all[0].at, made.at);
}

// The peer's queue of connections stays empty: before the reset, because the last ACK is held back,
// and after it.
TEST_P(StreamsTest, HalfOpenConnectionsAreNeverAccepted) {
  NetworkOptions options;
  options.half_open = true;
  const ConnectResult made = network_->Connect(kSlot, NameOf(listener_.get()), options);
  ASSERT_EQ(made.error, 0);
  ASSERT_TRUE(RunUntil(Kind::kConnected, kSlot));
  EXPECT_GE(network_->Inspect(made.stream).rtt, Duration{});
  pollfd waiting{listener_.get(), POLLIN, 0};
  EXPECT_EQ(poll(&waiting, 1, 0), 0);
  network_->Close(made.stream, NetworkOptions::Close::kReset);
  // One that is whole comes first, and alone.
  const Pair pair = Connected({}, SlotRef{4, 1});
  EXPECT_GE(pair.peer.get(), 0);
  EXPECT_EQ(poll(&waiting, 1, 0), 0);
}

TEST_P(StreamsTest, ConnectsOverIpv6) {
  listener_ = Listen("::1");
  if (listener_.get() < 0) GTEST_SKIP() << "no IPv6 here";
  Pair pair = Connected();
  EXPECT_EQ(NameOf(pair.peer.get(), true).family, IpFamily::kV6);
}

TEST_P(StreamsTest, RefusedConnectionsSaySo) {
  const Address gone = NameOf(listener_.get());
  listener_.Reset();
  const ConnectResult made = network_->Connect(kSlot, gone, {});
  ASSERT_EQ(made.error, 0);
  ASSERT_TRUE(RunUntil(Kind::kConnectFailed, kSlot));
  EXPECT_EQ(events_.Last(Kind::kConnectFailed, kSlot)->error, ECONNREFUSED);
  network_->Close(made.stream, NetworkOptions::Close::kFin);
  EXPECT_EQ(network_->open(), 0u);
}

TEST_P(EpollNetworkTest, UnreachableNetworksFailAtOnce) {
  // TCP to a multicast address never leaves the machine.
  const ConnectResult made = network_->Connect(kSlot, Local("224.0.0.1", 80), {});
  EXPECT_EQ(made.stream, kNoStream);
  EXPECT_EQ(made.error, ENETUNREACH);
  EXPECT_FALSE(made.misconfigured);
  EXPECT_EQ(network_->open(), 0u);
}

TEST_P(StreamsTest, ResetOfAnOpenConnection) {
  Pair pair = Connected();
  CloseWithReset(std::move(pair.peer));
  ASSERT_TRUE(RunUntilReadable());
  std::string text;
  EXPECT_EQ(Receive(pair.stream, &text).error, ECONNRESET);
}

// Whether the loop looks before or after the reset must not change the story.
TEST_P(StreamsTest, ResetBeforeTheConnectionWasSeen) {
  const ConnectResult made = network_->Connect(kSlot, NameOf(listener_.get()), {});
  CloseWithReset(Accept(listener_));
  ASSERT_TRUE(RunUntilReadable());
  EXPECT_EQ(events_.Count(Kind::kConnected, kSlot), 1u);
  EXPECT_EQ(events_.Count(Kind::kConnectFailed, kSlot), 0u);
  std::string text;
  EXPECT_EQ(Receive(made.stream, &text).error, ECONNRESET);
}

TEST_P(StreamsTest, ABannerBeforeTheResetIsNotLost) {
  const ConnectResult made = network_->Connect(kSlot, NameOf(listener_.get()), {});
  Descriptor peer = Accept(listener_);
  ASSERT_EQ(send(peer.get(), "220 hi", 6, 0), 6);
  CloseWithReset(std::move(peer));
  ASSERT_TRUE(RunUntilReadable(1));
  std::string text;
  const IoResult first = Receive(made.stream, &text);
  EXPECT_EQ(first.error, 0);
  EXPECT_EQ(text, "220 hi");
  EXPECT_EQ(ReceiveNext(made.stream, &text).error, ECONNRESET);
}

TEST_P(StreamsTest, EndOfStream) {
  Pair pair = Connected();
  pair.peer.Reset();
  ASSERT_TRUE(RunUntilReadable());
  std::string text;
  const IoResult end = Receive(pair.stream, &text);
  EXPECT_EQ(end.error, 0);
  EXPECT_EQ(end.count, 0u);
}

// The kernel tells of both with one edge; a reader who stops at the short count must still learn of
// the end.
TEST_P(EpollNetworkTest, BytesAndEndInOneEvent) {
  Pair pair = Connected();
  ASSERT_EQ(send(pair.peer.get(), "bye", 3, 0), 3);
  pair.peer.Reset();
  ASSERT_TRUE(RunUntilReadable(1));
  std::string text;
  EXPECT_EQ(Receive(pair.stream, &text).count, 3u);
  EXPECT_TRUE(network_->pending());
  ASSERT_TRUE(RunUntilReadable(2));
  const IoResult end = Receive(pair.stream, &text);
  EXPECT_EQ(end.count, 0u);
  EXPECT_EQ(end.error, 0);
  EXPECT_FALSE(network_->pending());
}

TEST_P(StreamsTest, WhatIsOwedToAClosedStreamIsDropped) {
  Pair pair = Connected();
  ASSERT_EQ(send(pair.peer.get(), "bye", 3, 0), 3);
  pair.peer.Reset();
  ASSERT_TRUE(RunUntilReadable(1));
  std::string text;
  Receive(pair.stream, &text);
  network_->Close(pair.stream, NetworkOptions::Close::kFin);
  while (network_->DispatchEvents(events_)) {}
  EXPECT_EQ(events_.Count(Kind::kReadable, kSlot), 1u);
}

TEST_P(StreamsTest, HalfClosedPeersCanStillBeWrittenTo) {
  Pair pair = Connected();
  ASSERT_EQ(shutdown(pair.peer.get(), SHUT_WR), 0);
  ASSERT_TRUE(RunUntilReadable());
  std::string text;
  EXPECT_EQ(Receive(pair.stream, &text).count, 0u);
  EXPECT_EQ(Send(pair.stream, AsBytes("still here")).count, 10u);
  EXPECT_EQ(ReadSome(pair.peer), "still here");
}

TEST_P(StreamsTest, SendsMoreThanTheSocketTakes) {
  Pair pair = Connected();
  const std::string big(8 << 20, 'x');
  size_t sent = 0;
  bool blocked = false;
  const auto push = [&] {
    while (sent < big.size()) {
      const IoResult result =
          network_->Send(pair.stream, AsBytes(std::string_view(big).substr(sent)));
      sent += result.count;
      if (result.error == EAGAIN) {
        blocked = true;
        return;
      }
      ASSERT_EQ(result.error, 0);
    }
  };
  push();
  ASSERT_TRUE(blocked);
  events_.react = [&](const NetworkEvent& event) {
    if (event.kind == Kind::kWritable) push();
  };
  size_t received = 0;
  const auto drain = [&] {
    char buffer[65536];
    ssize_t count;
    while ((count = recv(pair.peer.get(), buffer, sizeof buffer, MSG_DONTWAIT)) > 0) {
      received += static_cast<size_t>(count);
    }
  };
  ASSERT_TRUE(RunUntil([&] { return received == big.size(); }, pair.peer.get(), drain));
  EXPECT_GE(events_.Count(Kind::kWritable, kSlot), 1u);
}

TEST_P(EpollNetworkTest, SecondSendGoesOutWithoutWaiting) {
  Pair pair = Connected();
  const auto no_delay = [&] {
    int value = -1;
    socklen_t size = sizeof value;
    getsockopt(pair.stream, IPPROTO_TCP, TCP_NODELAY, &value, &size);
    return value != 0;
  };
  network_->Send(pair.stream, AsBytes("a"));
  EXPECT_FALSE(no_delay());
  network_->Send(pair.stream, AsBytes("b"));
  EXPECT_TRUE(no_delay());
}

TEST_P(StreamsTest, SourceAddress) {
  NetworkOptions options;
  options.source = Local("127.0.0.2", 9);
  Pair pair = Connected(options);
  EXPECT_EQ(NameOf(pair.peer.get(), true).Host(), "127.0.0.2");
}

TEST_P(StreamsTest, WrongSourceAddressesAreOurOwnTrouble) {
  NetworkOptions options;
  options.source = Local("192.0.2.1", 0);
  ConnectResult made = network_->Connect(kSlot, NameOf(listener_.get()), options);
  EXPECT_EQ(made.error, EADDRNOTAVAIL);
  EXPECT_TRUE(made.misconfigured);
  options.source = Local("::1", 0);
  made = network_->Connect(kSlot, NameOf(listener_.get()), options);
  EXPECT_EQ(made.error, EAFNOSUPPORT);
  EXPECT_TRUE(made.misconfigured);
  options.source = {};
  options.interface = "nosuchif0";
  made = network_->Connect(kSlot, NameOf(listener_.get()), options);
  EXPECT_NE(made.error, 0);
  EXPECT_TRUE(made.misconfigured);
  EXPECT_EQ(network_->open(), 0u);
}

TEST_P(StreamsTest, Dscp) {
  NetworkOptions options;
  options.dscp = 46;
  Pair pair = Connected(options);
  int tos = -1;
  socklen_t size = sizeof tos;
  ASSERT_EQ(getsockopt(pair.stream & 0xffff, IPPROTO_IP, IP_TOS, &tos, &size), 0);
  EXPECT_EQ(tos, 46 << 2);
}

TEST_P(StreamsTest, CloseStyles) {
  Pair polite = Connected();
  Close(polite.stream, NetworkOptions::Close::kFin);
  char byte;
  EXPECT_EQ(recv(polite.peer.get(), &byte, 1, 0), 0);
  Pair rude = Connected();
  Close(rude.stream, NetworkOptions::Close::kReset);
  EXPECT_EQ(recv(rude.peer.get(), &byte, 1, 0), -1);
  EXPECT_EQ(errno, ECONNRESET);
}

// Two events in one batch; the first one's reader closes the second stream and opens another, which
// gets the very same descriptor.
TEST_P(EpollNetworkTest, StaleEventsNeverMeetAReusedDescriptor) {
  constexpr SlotRef kA{1, 1}, kB{2, 1}, kNew{2, 2};
  Pair a = Connected({}, kA);
  Pair b = Connected({}, kB);
  ASSERT_EQ(send(a.peer.get(), "x", 1, 0), 1);
  ASSERT_EQ(send(b.peer.get(), "x", 1, 0), 1);
  events_.all.clear();
  bool replaced = false;
  StreamId reused = kNoStream;
  events_.react = [&](const NetworkEvent& event) {
    if (event.kind != Kind::kReadable || std::exchange(replaced, true)) return;
    const StreamId victim = event.slot == kA ? b.stream : a.stream;
    network_->Close(victim, NetworkOptions::Close::kFin);
    reused = network_->Connect(kNew, NameOf(listener_.get()), {}).stream;
    EXPECT_EQ(reused, victim);
  };
  ASSERT_TRUE(RunUntil(Kind::kConnected, kNew));
  EXPECT_EQ(poller_->stale_events(), 1u);
  EXPECT_EQ(events_.Count(Kind::kReadable, kA) + events_.Count(Kind::kReadable, kB), 1u);
  EXPECT_EQ(events_.Count(Kind::kReadable, kNew), 0u);
}

TEST_P(StreamsTest, StreamsAreBounded) {
  Open({}, 2);
  EXPECT_EQ(network_->DescriptorsLeft(), 2u);
  const Address to = NameOf(listener_.get());
  const ConnectResult first = network_->Connect(kSlot, to, {});
  network_->Connect(kSlot, to, {});
  EXPECT_EQ(network_->DescriptorsLeft(), 0u);
  EXPECT_EQ(network_->Connect(kSlot, to, {}).error, EMFILE);
  network_->Close(first.stream, NetworkOptions::Close::kReset);
  EXPECT_EQ(network_->DescriptorsLeft(), 1u);
}

TEST_P(StreamsTest, EveryByteComesInItsOrder) {
  Pair pair = Connected();
  std::string all;
  for (int i = 0; all.size() < 300'000; ++i) all += std::to_string(i) + ",";
  size_t sent = 0;
  std::string got, text;
  while (got.size() < all.size()) {
    const ssize_t count = send(pair.peer.get(), all.data() + sent, all.size() - sent, MSG_DONTWAIT);
    if (count > 0) sent += static_cast<size_t>(count);
    const IoResult result = ReceiveNext(pair.stream, &text);
    ASSERT_EQ(result.error, 0);
    ASSERT_GT(result.count, 0u);
    got += text;
  }
  EXPECT_EQ(got, all);
}

TEST_P(StreamsTest, NothingIsToldOfAStreamThatIsClosed) {
  for (int i = 0; i < 40; ++i) {  // more than the table has places
    const ConnectResult made = network_->Connect(kSlot, NameOf(listener_.get()), {});
    ASSERT_EQ(made.error, 0) << i;
    Close(made.stream, NetworkOptions::Close::kReset);
  }
  EXPECT_TRUE(events_.all.empty());
  EXPECT_EQ(network_->open(), 0u);
}

TEST_P(UringNetworkTest, UnreachableNetworksAreToldByAnEvent) {
  const ConnectResult made = network_->Connect(kSlot, Local("224.0.0.1", 80), {});
  ASSERT_NE(made.stream, kNoStream);
  ASSERT_TRUE(RunUntil(Kind::kConnectFailed, kSlot));
  EXPECT_EQ(events_.Last(Kind::kConnectFailed, kSlot)->error, ENETUNREACH);
}

TEST_P(UringNetworkTest, AFullTableGetsAnotherRing) {
  uring_table_ = 2;
  Open({}, 7);
  const auto& rings = static_cast<const UringNetwork&>(*network_);
  std::vector<Pair> pairs;
  for (uint32_t i = 0; i < 7; ++i) {
    pairs.push_back(Connected({}, {i, 1}));
    EXPECT_EQ(rings.rings(), 1 + i / 2);
  }
  EXPECT_EQ(network_->DescriptorsLeft(), 0u);
  EXPECT_EQ(network_->Connect(kSlot, NameOf(listener_.get()), {}).error, EMFILE);
  for (uint32_t i = 0; i < 7; ++i) {
    ASSERT_EQ(send(pairs[i].peer.get(), "hi", 2, 0), 2);
    ASSERT_TRUE(RunUntil(Kind::kReadable, {i, 1}));
    std::string text;
    Receive(pairs[i].stream, &text);
    EXPECT_EQ(text, "hi");
  }
  for (const Pair& pair : pairs) Close(pair.stream, NetworkOptions::Close::kFin);
  for (uint32_t i = 0; i < 7; ++i) Connected({}, {i, 2});
  EXPECT_EQ(rings.rings(), 4u);
}

// All buffers of the ring are full and nobody has read yet: nothing is lost.
TEST_P(UringNetworkTest, WhoFindsNoBufferWaitsForOne) {
  constexpr uint32_t kStreams = Uring::kBuffers + 40;
  uring_table_ = kStreams;
  Open({}, kStreams);
  std::vector<Pair> pairs;
  for (uint32_t i = 0; i < kStreams; ++i) {
    pairs.push_back(Connected({}, {i, 1}));
    ASSERT_EQ(send(pairs[i].peer.get(), "hi", 2, 0), 2);
  }
  const auto readable = [&] {
    size_t count = 0;
    for (const NetworkEvent& event : events_.all) count += event.kind == Kind::kReadable;
    return count;
  };
  ASSERT_TRUE(RunUntil([&] { return readable() == Uring::kBuffers; }));
  for (int i = 0; i < 10; ++i) network_->DispatchEvents(events_);
  EXPECT_EQ(readable(), size_t{Uring::kBuffers});
  std::string text;
  for (const Pair& pair : pairs) Receive(pair.stream, &text);
  ASSERT_TRUE(RunUntil([&] { return readable() == kStreams; }));
}

// Work of the kernel's comes and goes while we look: what is over must not keep the loop awake.
TEST_P(UringNetworkTest, SleepsWhenNothingIsLeft) {
  Pair pair = Connected();
  std::atomic<bool> over{false};
  std::thread echo([&, fd = pair.peer.get()] {
    char byte;
    while (!over && recv(fd, &byte, 1, 0) == 1) send(fd, &byte, 1, 0);
  });
  std::string text;
  for (size_t i = 1; i <= 5000; ++i) {
    ASSERT_EQ(Send(pair.stream, AsBytes("x")).error, 0);
    ASSERT_TRUE(RunUntilReadable(i));
    ASSERT_EQ(Receive(pair.stream, &text).count, 1u);
    ASSERT_EQ(Receive(pair.stream, &text).error, EAGAIN);
    int turns = 0;
    for (; network_->pending() && turns < 100; ++turns) network_->DispatchEvents(events_);
    ASSERT_LT(turns, 100) << i;
  }
  over = true;
  shutdown(pair.peer.get(), SHUT_RDWR);
  echo.join();
}

TEST_P(UringNetworkTest, AStreamsLateEventsNeverMeetTheNextInItsPlace) {
  constexpr SlotRef kA{1, 1}, kB{2, 1}, kNew{2, 2};
  Pair a = Connected({}, kA);
  Pair b = Connected({}, kB);
  ASSERT_EQ(send(a.peer.get(), "x", 1, 0), 1);
  ASSERT_EQ(send(b.peer.get(), "x", 1, 0), 1);
  bool replaced = false;
  events_.react = [&](const NetworkEvent& event) {
    if (event.kind != Kind::kReadable || std::exchange(replaced, true)) return;
    network_->Close(event.slot == kA ? b.stream : a.stream, NetworkOptions::Close::kFin);
    network_->Connect(kNew, NameOf(listener_.get()), {});
  };
  ASSERT_TRUE(RunUntil(Kind::kConnected, kNew));
  EXPECT_EQ(events_.Count(Kind::kReadable, kA) + events_.Count(Kind::kReadable, kB), 1u);
  EXPECT_EQ(events_.Count(Kind::kReadable, kNew), 0u);
}

TEST_P(StreamsTest, AddressesWithoutFamilyAreRefused) {
  EXPECT_EQ(network_->Connect(kSlot, Address{}, {}).error, EAFNOSUPPORT);
}

}  // namespace
}  // namespace sonde
