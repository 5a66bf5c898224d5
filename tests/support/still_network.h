// A network that stands still, for measuring what probes in flight take: connections open when
// told, take everything and say only what they are given. Time moves when `now` is set, and by
// `connect_takes` with each connection.
#pragma once

#include <cerrno>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/shard/network.h"

namespace sonde {

class StillNetwork final : public Network {
 public:
  struct Stream {
    SlotRef slot;
    std::string sent, received;
  };

  struct Message {
    SlotRef slot;
    uint16_t number;
    Address to;
    std::string bytes;
  };

  explicit StillNetwork(size_t most) {
    streams.reserve(most);
    messages.reserve(most);
    sent_.reserve(most);
    sending_.reserve(most);
  }

  Instant Stamp() override { return now; }
  std::optional<ResolveAnswer> Resolve(SlotRef, std::string_view host,
                                       const NetworkOptions&) override {
    return ResolveAnswer{Outcome::kOk, *Address::ParseLiteral(host), now, false};
  }
  void CancelResolve(SlotRef) override {}
  ConnectResult Connect(SlotRef slot, const Address&, const NetworkOptions&) override {
    streams.push_back({slot, {}, {}});
    now = now + connect_takes;
    return {static_cast<StreamId>(streams.size() - 1), 0, now};
  }
  IoResult Send(StreamId stream, Bytes bytes) override {
    if (keep_sent) streams[static_cast<size_t>(stream)].sent.append(AsText(bytes));
    return {bytes.size(), 0, now};
  }
  IoResult Receive(StreamId stream, std::span<uint8_t> into) override {
    std::string& from = streams[static_cast<size_t>(stream)].received;
    if (from.empty()) return {0, EAGAIN, now};
    const size_t count = from.copy(reinterpret_cast<char*>(into.data()), into.size());
    from.erase(0, count);
    return {count, 0, now};
  }
  void Close(StreamId, NetworkOptions::Close) override {}
  size_t DescriptorsLeft() const override { return 1'000'000; }
  TcpInfo Inspect(StreamId) override { return {}; }
  SharedSocket Join(Transport transport, IpFamily, const NetworkOptions&,
                    const DatagramOptions&) override {
    return {.socket = static_cast<SocketId>(transport), .echo_id = 1};
  }
  void Leave(SocketId) override {}
  void Queue(SocketId, const Address& to, Bytes message, SlotRef slot, uint16_t number) override {
    messages.push_back({slot, number, to, {}});
    if (keep_sent) messages.back().bytes.assign(AsText(message));
    sent_.push_back({.slot = slot, .number = number, .at = now});
  }
  size_t queued() const override { return sent_.size(); }
  std::span<const SentDatagram> SendQueued() override {
    sending_.swap(sent_);
    sent_.clear();
    return sending_;
  }
  uint64_t ReceiveDrops(SocketId, bool) override { return 0; }

  std::vector<Stream> streams;
  std::vector<Message> messages;  // every one queued
  Instant now{Seconds(1'000).ns};
  Duration connect_takes{};
  bool keep_sent = false;

 private:
  std::vector<SentDatagram> sent_, sending_;
};

}  // namespace sonde
