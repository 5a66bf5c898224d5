#include "tools/farm/dns_sockets.h"

#include <arpa/inet.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace sonde {
namespace {

constexpr size_t kBatch = 64;
constexpr size_t kBatchesPerTurn = 16;
// Longer queries are malformed: a name, OPT with its options and a signature take less.
constexpr size_t kLongestQuery = 2048;
constexpr size_t kControlSize = 64;  // a packet information of either family

// Which of our addresses a datagram was sent to (IP_PKTINFO, RFC 3542).
void ReadLocal(msghdr& head, in6_addr* local, int* interface) {
  for (cmsghdr* part = CMSG_FIRSTHDR(&head); part != nullptr; part = CMSG_NXTHDR(&head, part)) {
    if (part->cmsg_level == IPPROTO_IP && part->cmsg_type == IP_PKTINFO) {
      in_pktinfo info;
      std::memcpy(&info, CMSG_DATA(part), sizeof(info));
      std::memcpy(local, &info.ipi_addr, sizeof(info.ipi_addr));
      *interface = 0;
    } else if (part->cmsg_level == IPPROTO_IPV6 && part->cmsg_type == IPV6_PKTINFO) {
      in6_pktinfo info;
      std::memcpy(&info, CMSG_DATA(part), sizeof(info));
      *local = info.ipi6_addr;
      *interface = static_cast<int>(info.ipi6_ifindex);
    }
  }
}

// The other way round. Returns the bytes of control data.
size_t WriteLocal(sa_family_t family, const in6_addr& local, int interface, char* control) {
  auto* part = reinterpret_cast<cmsghdr*>(control);
  if (family == AF_INET) {
    in_pktinfo info{};
    std::memcpy(&info.ipi_spec_dst, &local, sizeof(info.ipi_spec_dst));
    part->cmsg_level = IPPROTO_IP;
    part->cmsg_type = IP_PKTINFO;
    part->cmsg_len = CMSG_LEN(sizeof(info));
    std::memcpy(CMSG_DATA(part), &info, sizeof(info));
    return CMSG_SPACE(sizeof(info));
  }
  in6_pktinfo info{};
  info.ipi6_addr = local;
  info.ipi6_ifindex = static_cast<unsigned>(interface);
  part->cmsg_level = IPPROTO_IPV6;
  part->cmsg_type = IPV6_PKTINFO;
  part->cmsg_len = CMSG_LEN(sizeof(info));
  std::memcpy(CMSG_DATA(part), &info, sizeof(info));
  return CMSG_SPACE(sizeof(info));
}

socklen_t NameSize(const sockaddr_in6& name) {
  return name.sin6_family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
}

bool IsForeign(const FarmListener& listener, const sockaddr_in6& peer) {
  if (listener.config.address != "loopback" || peer.sin6_family != AF_INET) return false;
  return ntohl(reinterpret_cast<const sockaddr_in&>(peer).sin_addr.s_addr) >> 24 != 127;
}

}  // namespace

struct FarmDnsSockets::Batch {
  struct Out {
    std::array<uint8_t, kDnsEdnsLimit> bytes;
    Peer peer;
    alignas(cmsghdr) char control[kControlSize];
    iovec part;
  };
  std::array<mmsghdr, kBatch> in_heads{}, out_heads{};
  std::array<std::array<uint8_t, kLongestQuery>, kBatch> in_bytes;
  std::array<sockaddr_in6, kBatch> in_names{};
  std::array<iovec, kBatch> in_parts{};
  struct {
    alignas(cmsghdr) char bytes[kControlSize];
  } in_controls[kBatch];
  std::array<Out, kBatch> out;
  size_t out_count = 0;
  int out_fd = -1;
  std::array<uint8_t, kDnsLargest> large;
};

FarmDnsSockets::FarmDnsSockets(uint64_t seed, int worker, FarmCounters& counters)
    : seed_(seed),
      random_(Random::Mix(seed ^ 0xD45) + static_cast<uint64_t>(worker)),
      counters_(counters) {}

FarmDnsSockets::~FarmDnsSockets() {
  for (const Entry& entry : entries_) {
    if (entry.other_fd >= 0) close(entry.other_fd);
  }
}

size_t FarmDnsSockets::Add(FarmListener& listener, FarmSocket socket) {
  if (!batch_) batch_ = std::make_unique<Batch>();
  entries_.push_back({&listener, socket, -1});
  return entries_.size() - 1;
}

void FarmDnsSockets::OnReadable(size_t which, int64_t now_ns) {
  Batch& batch = *batch_;
  const int fd = entries_[which].socket.fd;
  for (size_t turn = 0; turn < kBatchesPerTurn; ++turn) {
    for (size_t i = 0; i < kBatch; ++i) {
      msghdr& head = batch.in_heads[i].msg_hdr;
      batch.in_parts[i] = {batch.in_bytes[i].data(), kLongestQuery};
      head = {&batch.in_names[i],
              sizeof(sockaddr_in6),
              &batch.in_parts[i],
              1,
              batch.in_controls[i].bytes,
              kControlSize,
              0};
    }
    const int count = recvmmsg(fd, batch.in_heads.data(), kBatch, MSG_DONTWAIT, nullptr);
    if (count <= 0) break;
    for (size_t i = 0; i < static_cast<size_t>(count); ++i) {
      msghdr& head = batch.in_heads[i].msg_hdr;
      Peer peer{batch.in_names[i], {}, 0};
      ReadLocal(head, &peer.local, &peer.interface);
      const bool too_long = (head.msg_flags & MSG_TRUNC) != 0;
      // Of what is too long the header alone is read: malformed.
      Take(static_cast<uint32_t>(which),
           {batch.in_bytes[i].data(), too_long ? kDnsHeaderSize : batch.in_heads[i].msg_len}, peer,
           now_ns);
    }
    Flush();
    if (static_cast<size_t>(count) < kBatch) break;
  }
}

void FarmDnsSockets::Take(uint32_t entry, std::span<const uint8_t> message, const Peer& peer,
                          int64_t now_ns) {
  FarmListener& listener = *entries_[entry].listener;
  FarmCounters::Add(counters_.bytes_in, message.size());
  if (IsForeign(listener, peer.name)) {
    FarmCounters::Add(counters_.foreign);
    return;
  }
  FarmDnsQuery query;
  const FarmDnsParse parsed = ReadFarmDnsQuery(message, &query);
  if (parsed != FarmDnsParse::kGood) FarmCounters::Add(counters_.bad_requests);
  if (parsed == FarmDnsParse::kIgnore) return;
  const FarmDnsAsked asked = FarmDnsTarget::ReadName(query);
  const Behaviour behaviour =
      asked.behaviour.value_or(Choose(listener, peer, entries_[entry].socket.port));
  FarmCounters::Add(counters_.shown[static_cast<size_t>(behaviour)]);
  const Duration delay = listener.config.delay.Draw(random_) + asked.delay;
  if (delay.ns <= 0 || parsed != FarmDnsParse::kGood) {
    Say(entry, parsed, query, asked, behaviour, peer);
    return;
  }
  if (FarmDnsTarget::SendingOf(behaviour) == FarmDnsSending::kNever) return;
  if (free_.empty()) {
    if (waiting_.size() == kMostWaiting) {
      FarmCounters::Add(counters_.dropped);
      return;
    }
    free_.push_back(static_cast<uint32_t>(waiting_.size()));
    waiting_.emplace_back();
  }
  waiting_[free_.back()] = {entry, behaviour, peer, query};
  due_.push({now_ns + delay.ns, serial_++, free_.back()});
  free_.pop_back();
}

void FarmDnsSockets::FireTimers(int64_t now_ns) {
  if (due_.empty() || due_.top().at > now_ns) return;
  while (!due_.empty() && due_.top().at <= now_ns) {
    const uint32_t at = due_.top().waiting;
    due_.pop();
    free_.push_back(at);
    const Waiting& waiting = waiting_[at];
    Say(waiting.entry, FarmDnsParse::kGood, waiting.query, FarmDnsTarget::ReadName(waiting.query),
        waiting.behaviour, waiting.peer);
  }
  Flush();
}

Behaviour FarmDnsSockets::Choose(const FarmListener& listener, const Peer& peer, uint16_t port) {
  const int forced = listener.override_behaviour.load(std::memory_order_relaxed);
  if (forced != FarmListener::kNoOverride) return static_cast<Behaviour>(forced);
  const Mix& mix = listener.config.mix;
  if (mix.shares.empty()) return Behaviour::kOk;
  if (mix.per != Mix::Per::kTarget) return mix.At(random_.Unit());
  uint32_t v4 = 0;
  if (peer.name.sin6_family == AF_INET) std::memcpy(&v4, &peer.local, sizeof(v4));
  return mix.At(TargetUnit(seed_, port, v4));
}

void FarmDnsSockets::Say(uint32_t entry, FarmDnsParse parsed, const FarmDnsQuery& query,
                         const FarmDnsAsked& asked, Behaviour behaviour, const Peer& peer) {
  const FarmDnsTarget& target = entries_[entry].listener->dns;
  const bool good = parsed == FarmDnsParse::kGood;
  const FarmDnsSending sending = good ? FarmDnsTarget::SendingOf(behaviour) : FarmDnsSending::kOnce;
  if (sending == FarmDnsSending::kNever) return;
  if (good && FarmDnsTarget::IsLarge(behaviour)) {
    const size_t size =
        target.WriteDatagram(parsed, query, asked, behaviour, random_, batch_->large);
    SendNow(entries_[entry].socket.fd, {batch_->large.data(), size}, peer);
    return;
  }
  Batch::Out& out = batch_->out[batch_->out_count];
  const size_t size = target.WriteDatagram(parsed, query, asked, behaviour, random_, out.bytes);
  const std::span<const uint8_t> message(out.bytes.data(), size);
  if (sending == FarmDnsSending::kOtherPort) {
    SendNow(OtherPort(entries_[entry]), message, peer);
  } else if (sending == FarmDnsSending::kOtherAddress) {
    Peer other = peer;
    other.local.s6_addr[2] ^= 1;
    const bool has_neighbour = peer.name.sin6_family == AF_INET && peer.local.s6_addr[0] == 127;
    SendNow(has_neighbour ? entries_[entry].socket.fd : OtherPort(entries_[entry]), message,
            has_neighbour ? other : peer);
  } else {
    SendLater(entry, message, peer);
    if (sending == FarmDnsSending::kTwice) SendNow(entries_[entry].socket.fd, message, peer);
  }
}

// `message` stands in the batch's next place already.
void FarmDnsSockets::SendLater(uint32_t entry, std::span<const uint8_t> message, const Peer& peer) {
  FarmCounters::Add(counters_.answers);
  Batch& batch = *batch_;
  const int fd = entries_[entry].socket.fd;
  // A batch goes out through one socket.
  if (batch.out_count > 0 && batch.out_fd != fd) {
    SendNow(fd, message, peer);
    return;
  }
  batch.out_fd = fd;
  Batch::Out& out = batch.out[batch.out_count];
  out.peer = peer;
  out.part = {out.bytes.data(), message.size()};
  const size_t control = WriteLocal(peer.name.sin6_family, peer.local, peer.interface, out.control);
  batch.out_heads[batch.out_count].msg_hdr = {
      &out.peer.name, NameSize(out.peer.name), &out.part, 1, out.control, control, 0};
  if (++batch.out_count == kBatch) Flush();
}

void FarmDnsSockets::SendNow(int fd, std::span<const uint8_t> message, const Peer& peer) {
  Peer to = peer;
  alignas(cmsghdr) char control[kControlSize];
  iovec part = {const_cast<uint8_t*>(message.data()), message.size()};
  msghdr head{};
  head.msg_name = &to.name;
  head.msg_namelen = NameSize(to.name);
  head.msg_iov = &part;
  head.msg_iovlen = 1;
  head.msg_control = control;
  head.msg_controllen = WriteLocal(to.name.sin6_family, to.local, to.interface, control);
  const ssize_t sent = fd < 0 ? -1 : sendmsg(fd, &head, MSG_DONTWAIT);
  if (sent < 0) {
    FarmCounters::Add(counters_.dropped);
    return;
  }
  FarmCounters::Add(counters_.bytes_out, static_cast<uint64_t>(sent));
}

void FarmDnsSockets::Flush() {
  Batch& batch = *batch_;
  size_t at = 0;
  while (at < batch.out_count) {
    const int sent = sendmmsg(batch.out_fd, batch.out_heads.data() + at,
                              static_cast<unsigned>(batch.out_count - at), MSG_DONTWAIT);
    for (int i = 0; i < sent; ++i) {
      FarmCounters::Add(counters_.bytes_out, batch.out_heads[at + static_cast<size_t>(i)].msg_len);
    }
    at += static_cast<size_t>(std::max(sent, 0));
    if (sent > 0) continue;
    // The first of the rest cannot go: its peer is unreachable, or our buffer is full.
    FarmCounters::Add(counters_.dropped);
    ++at;
  }
  batch.out_count = 0;
}

int FarmDnsSockets::OtherPort(Entry& entry) {
  if (entry.other_fd < 0) entry.other_fd = entry.listener->OpenDatagram(0);
  return entry.other_fd;
}

}  // namespace sonde
