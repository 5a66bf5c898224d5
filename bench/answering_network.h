// A network without a kernel whose peers answer at once, for measuring what a probe costs us alone:
// connections open and answer each request with one text, datagrams come back as answers. Deliver()
// tells the shard what became of the turn before. Takes nothing from the heap once it is warm.
#pragma once

#include <cerrno>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/shard/network.h"

namespace sonde {

class AnsweringNetwork final : public Network {
 public:
  explicit AnsweringNetwork(std::string_view answer) : answer_(answer) {}

  void Deliver(NetworkEvents& events) {
    opened_now_.swap(opened_);
    opened_.clear();
    for (const auto& [slot, stream] : opened_now_) {
      events.OnConnected(slot, now);
      if (asked_[static_cast<size_t>(stream)]) events.OnReadable(slot, now);
    }
    asked_again_now_.swap(asked_again_);
    asked_again_.clear();
    for (const StreamId stream : asked_again_now_) {
      events.OnReadable(kept_by_[static_cast<size_t>(stream)], now);
    }
    arrived_.swap(sent_);
    sent_.clear();
    for (Message& message : arrived_) {
      message.Answer();
      events.OnDatagram({.socket = static_cast<SocketId>(message.transport),
                         .transport = message.transport,
                         .bytes = {message.bytes, message.size},
                         .from = message.to,
                         .ttl = 64,
                         .at = now});
    }
  }

  Instant Stamp() override { return now; }
  std::optional<ResolveAnswer> Resolve(SlotRef, std::string_view host,
                                       const NetworkOptions&) override {
    return ResolveAnswer{Outcome::kOk, *Address::ParseLiteral(host), now, false};
  }
  void CancelResolve(SlotRef) override {}
  ConnectResult Connect(SlotRef slot, const Address&, const NetworkOptions&) override {
    StreamId stream = static_cast<StreamId>(asked_.size());
    if (free_.empty()) {
      asked_.push_back(false);
      kept_by_.push_back({});
      free_.reserve(asked_.size());
    } else {
      stream = free_.back();
      free_.pop_back();
    }
    asked_[static_cast<size_t>(stream)] = false;
    kept_by_[static_cast<size_t>(stream)] = kNobody;
    opened_.push_back({slot, stream});
    return {stream, 0, now};
  }
  bool HandOver(StreamId stream, SlotRef slot) override {
    kept_by_[static_cast<size_t>(stream)] = slot;
    return true;
  }
  IoResult Send(StreamId stream, Bytes bytes) override {
    asked_[static_cast<size_t>(stream)] = true;
    if (!(kept_by_[static_cast<size_t>(stream)] == kNobody)) asked_again_.push_back(stream);
    return {bytes.size(), 0, now};
  }
  IoResult Receive(StreamId stream, std::span<uint8_t> into) override {
    if (!std::exchange(asked_[static_cast<size_t>(stream)], 0)) return {0, EAGAIN, now};
    const size_t count = answer_.copy(reinterpret_cast<char*>(into.data()), into.size());
    return {count, 0, now};
  }
  void Close(StreamId stream, NetworkOptions::Close) override { free_.push_back(stream); }
  size_t DescriptorsLeft() const override { return 1'000'000; }
  TcpInfo Inspect(StreamId) override { return {0, Microseconds(40)}; }
  SharedSocket Join(Transport transport, IpFamily, const NetworkOptions&,
                    const DatagramOptions&) override {
    return {.socket = static_cast<SocketId>(transport), .echo_id = 1};
  }
  void Leave(SocketId) override {}
  void Queue(SocketId socket, const Address& to, Bytes bytes, SlotRef slot,
             uint16_t number) override {
    Message message{static_cast<Transport>(socket), to, bytes.size(), {}};
    if (bytes.size() > sizeof message.bytes) __builtin_trap();
    std::copy(bytes.begin(), bytes.end(), message.bytes);
    sent_.push_back(message);
    queued_.push_back({.slot = slot, .number = number, .at = now});
  }
  size_t queued() const override { return queued_.size(); }
  std::span<const SentDatagram> SendQueued() override {
    sending_.swap(queued_);
    queued_.clear();
    return sending_;
  }
  uint64_t ReceiveDrops(SocketId, bool) override { return 0; }

  Instant now{Seconds(1'000).ns};

 private:
  struct Message {
    Transport transport;
    Address to;
    size_t size;
    uint8_t bytes[128];

    // A DNS answer without records (RFC 1035 section 4.1.1: QR), an echo reply (RFC 792: type 0).
    void Answer() {
      if (transport == Transport::kUdp) bytes[2] |= 0x80;
      if (transport == Transport::kIcmp) bytes[0] = 0;
    }
  };

  static constexpr SlotRef kNobody{UINT32_MAX, 0};

  const std::string_view answer_;
  std::vector<std::pair<SlotRef, StreamId>> opened_, opened_now_;
  std::vector<uint8_t> asked_;    // by stream: something was sent, and not answered yet
  std::vector<SlotRef> kept_by_;  // by stream: whom it was handed over to
  std::vector<StreamId> asked_again_, asked_again_now_;
  std::vector<StreamId> free_;
  std::vector<Message> sent_, arrived_;
  std::vector<SentDatagram> queued_, sending_;
};

}  // namespace sonde
