#include "engine/loop/message_arena.h"

#include <linux/errqueue.h>
#include <linux/net_tstamp.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace sonde {
namespace {

template <typename T>
T DataOf(const cmsghdr* message) {
  T value{};
  std::memcpy(&value, CMSG_DATA(message), sizeof value);
  return value;
}

void ReadError(const cmsghdr* message, ArrivedMessage* arrived) {
  const auto error = DataOf<sock_extended_err>(message);
  if (error.ee_origin == SO_EE_ORIGIN_TIMESTAMPING) {
    arrived->sent_stamp_of = error.ee_data;
  } else if (error.ee_origin == SO_EE_ORIGIN_ICMP || error.ee_origin == SO_EE_ORIGIN_ICMP6) {
    arrived->icmp_error = static_cast<int>(error.ee_errno);
    arrived->icmp_type = error.ee_type;
    arrived->icmp_code = error.ee_code;
    if (message->cmsg_len >= CMSG_LEN(sizeof error + sizeof(sockaddr_in))) {
      sockaddr_in6 offender{};
      const size_t size = message->cmsg_len - CMSG_LEN(sizeof error);
      std::memcpy(&offender, CMSG_DATA(message) + sizeof error, std::min(size, sizeof offender));
      arrived->offender = AddressFrom(reinterpret_cast<const sockaddr*>(&offender));
    }
  }
}

}  // namespace

MessageArena::MessageArena()
    : data_(std::make_unique_for_overwrite<uint8_t[]>(kMessages * kStride)) {
  auto* wish = reinterpret_cast<cmsghdr*>(stamp_wish_.data());
  wish->cmsg_level = SOL_SOCKET;
  wish->cmsg_type = SO_TIMESTAMPING;
  wish->cmsg_len = CMSG_LEN(sizeof(uint32_t));
  constexpr uint32_t kWhenSent = SOF_TIMESTAMPING_TX_SOFTWARE;
  std::memcpy(CMSG_DATA(wish), &kWhenSent, sizeof kWhenSent);
}

void MessageArena::Add(Bytes bytes, const Address& to) {
  const size_t i = count_++;
  used_ = std::max(used_, count_);
  peers_[i] = SocketAddress(to);
  pieces_[i] = {const_cast<uint8_t*>(bytes.data()), bytes.size()};
  msghdr& header = headers_[i].msg_hdr;
  header = msghdr{};
  header.msg_name = const_cast<sockaddr*>(peers_[i].get());
  header.msg_namelen = peers_[i].size();
  header.msg_iov = &pieces_[i];
  header.msg_iovlen = 1;
  if (!stamped_) return;
  header.msg_control = stamp_wish_.data();
  header.msg_controllen = stamp_wish_.size();
}

int MessageArena::Send(int fd) {
  int sent;
  do {
    sent = sendmmsg(fd, headers_.data(), static_cast<unsigned>(count_), MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return sent < 0 ? -errno : sent;
}

int MessageArena::Receive(int fd, int flags) {
  for (size_t i = 0; i < used_; ++i) {
    pieces_[i] = {data_.get() + i * kStride, kMostBytes};
    msghdr& header = headers_[i].msg_hdr;
    header = msghdr{};
    header.msg_name = &names_[i];
    header.msg_namelen = sizeof names_[i];
    header.msg_iov = &pieces_[i];
    header.msg_iovlen = 1;
    header.msg_control = control_[i].data();
    header.msg_controllen = kControlBytes;
  }
  int count;
  do {
    count = recvmmsg(fd, headers_.data(), kMessages, flags | MSG_DONTWAIT, nullptr);
  } while (count < 0 && errno == EINTR);
  // The one that found the queue empty was written to as well.
  used_ = std::min(kMessages, static_cast<size_t>(std::max(count, 0)) + 1);
  return count < 0 ? -errno : count;
}

ArrivedMessage MessageArena::At(size_t index, const ClockReading& now) const {
  ArrivedMessage arrived;
  msghdr header = headers_[index].msg_hdr;
  arrived.bytes = {data_.get() + index * kStride, headers_[index].msg_len};
  if (header.msg_namelen >= sizeof(sockaddr_in)) {
    arrived.name = AddressFrom(reinterpret_cast<const sockaddr*>(&names_[index]));
  }
  for (cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c)) {
    const auto is = [&](int level, int type) {
      return c->cmsg_level == level && c->cmsg_type == type;
    };
    if (is(SOL_SOCKET, SCM_TIMESTAMPING)) {
      arrived.stamp = InstantOf(DataOf<timespec>(c), now);
    } else if (is(SOL_SOCKET, SO_RXQ_OVFL)) {
      arrived.drops = DataOf<uint32_t>(c);
    } else if (is(IPPROTO_IP, IP_TTL) || is(IPPROTO_IPV6, IPV6_HOPLIMIT)) {
      arrived.ttl = DataOf<int>(c);
    } else if (is(IPPROTO_IP, IP_RECVERR) || is(IPPROTO_IPV6, IPV6_RECVERR)) {
      ReadError(c, &arrived);
    }
  }
  return arrived;
}

}  // namespace sonde
