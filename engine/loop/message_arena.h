// Room for a batch of datagrams, to be sent or received in one system call, and what the kernel
// says about those received. Reused for every batch; its pages are touched as messages need them.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <memory>
#include <optional>

#include "engine/contract/address.h"
#include "engine/contract/conversation.h"
#include "engine/contract/instant.h"
#include "engine/loop/kernel_stamp.h"
#include "engine/loop/socket_address.h"

namespace sonde {

// A message out of the receive queue or the error queue.
struct ArrivedMessage {
  Bytes bytes;   // valid until the next Receive
  Address name;  // whom it is from; of the error queue: where our message went
  int ttl = -1;
  Instant stamp;                  // the kernel's; unstamped: none, or none that can be true
  std::optional<uint32_t> drops;  // SO_RXQ_OVFL
  // Error queue only.
  std::optional<uint32_t> sent_stamp_of;  // the stamp is of sending; the kernel's number of it
  int icmp_error = 0;                     // errno of an ICMP error; 0: it is none
  int icmp_type = 0, icmp_code = 0;
  Address offender;
};

class MessageArena {
 public:
  static constexpr size_t kMessages = 64;
  static constexpr size_t kMostBytes = 65536;

  MessageArena();

  // A batch to send: the bytes are the caller's and stay there until Send. With `stamped` the
  // kernel's stamps of sending will come out of the error queue.
  void BeginSend(bool stamped) {
    count_ = 0;
    stamped_ = stamped;
  }
  void Add(Bytes bytes, const Address& to);
  int Send(int fd);  // how many left; negative: -errno of the first

  // How many came; negative: -errno. `flags` for recvmmsg besides MSG_DONTWAIT.
  int Receive(int fd, int flags);
  ArrivedMessage At(size_t index, const ClockReading& now) const;

 private:
  // Messages do not all begin at the same place of a cache way.
  static constexpr size_t kStride = kMostBytes + 192;
  static constexpr size_t kControlBytes = 256;

  std::unique_ptr<uint8_t[]> data_;
  std::array<mmsghdr, kMessages> headers_{};
  std::array<iovec, kMessages> pieces_{};
  std::array<sockaddr_in6, kMessages> names_{};
  std::array<SocketAddress, kMessages> peers_;
  alignas(cmsghdr) std::array<std::array<uint8_t, kControlBytes>, kMessages> control_{};
  alignas(cmsghdr) std::array<uint8_t, CMSG_SPACE(sizeof(uint32_t))> stamp_wish_{};
  bool stamped_ = false;
  size_t count_ = 0;         // to be sent
  size_t used_ = kMessages;  // headers that are not as Receive wants them
};

}  // namespace sonde
