// DNS questions over UDP and ICMP echoes: one socket for all, 64 messages a system call.
#include <linux/net_tstamp.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

#include "bench/limits/limits.h"

#ifndef ICMP_FILTER
#define ICMP_FILTER 1  // linux/icmp.h, which does not go with netinet/ip_icmp.h
#endif

namespace sonde::limits {
namespace {

constexpr size_t kBatch = 64;
constexpr int64_t kPatienceNs = 200'000'000;  // then what is unanswered counts as lost

// What the two protocols differ in. `number` is what tells one question's answer from another's.
class Exchange {
 public:
  virtual ~Exchange() = default;
  virtual int Socket() = 0;
  virtual size_t Ask(uint16_t number, uint8_t* into) = 0;  // at most 128 bytes
  virtual bool Number(const uint8_t* answer, size_t size, uint16_t* number) = 0;
};

class Dns final : public Exchange {
 public:
  // RFC 1035 section 4.1: a header, and one question of type A, class IN.
  explicit Dns(const std::string& name) {
    message_.assign({0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0});
    for (size_t at = 0; at < name.size();) {
      const size_t dot = std::min(name.find('.', at), name.size());
      message_.push_back(static_cast<uint8_t>(dot - at));
      for (const char c : name.substr(at, dot - at)) message_.push_back(static_cast<uint8_t>(c));
      at = dot + 1;
    }
    static constexpr uint8_t kEnd[] = {0, 0, 1, 0, 1};
    message_.insert(message_.end(), kEnd, kEnd + sizeof kEnd);
    if (message_.size() > 128) Die("--query: too long", 0);
  }

  int Socket() override { return socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0); }

  size_t Ask(uint16_t number, uint8_t* into) override {
    std::memcpy(into, message_.data(), message_.size());
    into[0] = static_cast<uint8_t>(number >> 8);
    into[1] = static_cast<uint8_t>(number);
    return message_.size();
  }

  bool Number(const uint8_t* answer, size_t size, uint16_t* number) override {
    *number = size < 2 ? 0 : static_cast<uint16_t>(answer[0] << 8 | answer[1]);
    // An answer, no error, at least one record, and to our question.
    return size > message_.size() && (answer[2] & 0x80) && (answer[3] & 0xf) == 0 &&
           (answer[6] | answer[7]) != 0 &&
           std::memcmp(answer + 12, message_.data() + 12, message_.size() - 12) == 0;
  }

 private:
  std::vector<uint8_t> message_;
};

class Icmp final : public Exchange {
 public:
  int Socket() override {
    const int fd = socket(AF_INET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_ICMP);
    const uint32_t all_but_replies = ~(1u << ICMP_ECHOREPLY);
    if (fd >= 0) { setsockopt(fd, SOL_RAW, ICMP_FILTER, &all_but_replies, sizeof all_but_replies); }
    return fd;
  }

  size_t Ask(uint16_t number, uint8_t* into) override {
    uint8_t* payload = into + sizeof(icmphdr);
    std::memset(payload, 'x', kPayload);
    icmphdr header{};
    header.type = ICMP_ECHO;
    header.un.echo.id = id_;
    header.un.echo.sequence = htons(number);
    std::memcpy(into, &header, sizeof header);
    header.checksum = Checksum(into, sizeof header + kPayload);
    std::memcpy(into, &header, sizeof header);
    return sizeof header + kPayload;
  }

  bool Number(const uint8_t* answer, size_t size, uint16_t* number) override {
    const size_t head = size_t{answer[0]} % 16 * 4;
    icmphdr header;
    if (size != head + sizeof header + kPayload) return false;
    std::memcpy(&header, answer + head, sizeof header);
    *number = ntohs(header.un.echo.sequence);
    return header.type == ICMP_ECHOREPLY && header.un.echo.id == id_;
  }

 private:
  static constexpr size_t kPayload = 28;

  static uint16_t Checksum(const uint8_t* data, size_t size) {
    uint32_t sum = 0;
    for (size_t i = 0; i + 1 < size; i += 2) {
      uint16_t word;
      std::memcpy(&word, data + i, sizeof word);
      sum += word;
    }
    while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
    return static_cast<uint16_t>(~sum);
  }

  const uint16_t id_ = static_cast<uint16_t>(getpid());
};

class Datagrams {
 public:
  Datagrams(const Options& options, Exchange& exchange)
      : options_(options),
        exchange_(exchange),
        epoll_(epoll_create1(EPOLL_CLOEXEC)),
        fd_(exchange.Socket()),
        pacer_(options, epoll_),
        meter_(options),
        asked_(65536) {
    if (fd_ < 0) Die("socket", errno);
    const int room = 4 << 20;
    if (setsockopt(fd_, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room) != 0) {
      setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    }
    const int stamps = SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE;
    if (options.stamps) setsockopt(fd_, SOL_SOCKET, SO_TIMESTAMPING, &stamps, sizeof stamps);
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = fd_;
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd_, &event) != 0) Die("epoll_ctl", errno);
  }
  ~Datagrams() {
    close(fd_);
    close(epoll_);
  }

  void Run(const char* name) {
    epoll_event events[2];
    while (meter_.Going()) {
      Send();
      const int count = epoll_wait(epoll_, events, 2, 100);
      for (int i = 0; i < count; ++i) {
        if (events[i].data.fd == pacer_.fd()) {
          pacer_.Tick();
        } else {
          Receive();
        }
      }
      if (busy_ > 0 && NowNs() - heard_ > kPatienceNs) GiveUp();
    }
    meter_.Print(name, pacer_.Late());
  }

 private:
  void Send() {
    for (int left = pacer_.Take(busy_); left > 0;) {
      const size_t count = std::min(kBatch, static_cast<size_t>(left));
      for (size_t i = 0; i < count; ++i) {
        while (asked_[next_]) ++next_;
        numbers_[i] = next_++;
        peers_[i] = TargetAddress(options_, target_++);
        pieces_[i] = {bytes_[i].data(), exchange_.Ask(numbers_[i], bytes_[i].data())};
        headers_[i].msg_hdr = msghdr{};
        headers_[i].msg_hdr.msg_name = &peers_[i];
        headers_[i].msg_hdr.msg_namelen = sizeof peers_[i];
        headers_[i].msg_hdr.msg_iov = &pieces_[i];
        headers_[i].msg_hdr.msg_iovlen = 1;
      }
      pacer_.Begin(static_cast<int>(count));
      const int sent = sendmmsg(fd_, headers_.data(), static_cast<unsigned>(count), 0);
      if (sent < 0) return meter_.Failed("sendmmsg", errno);
      for (int i = 0; i < sent; ++i) asked_[numbers_[static_cast<size_t>(i)]] = true;
      if (busy_ == 0) heard_ = NowNs();
      busy_ += sent;
      left -= sent;
      if (static_cast<size_t>(sent) < count) return;
    }
  }

  void Receive() {
    for (;;) {
      for (size_t i = 0; i < kBatch; ++i) {
        pieces_[i] = {bytes_[i].data(), bytes_[i].size()};
        headers_[i].msg_hdr = msghdr{};
        headers_[i].msg_hdr.msg_name = &peers_[i];
        headers_[i].msg_hdr.msg_namelen = sizeof peers_[i];
        headers_[i].msg_hdr.msg_iov = &pieces_[i];
        headers_[i].msg_hdr.msg_iovlen = 1;
        if (!options_.stamps) continue;
        headers_[i].msg_hdr.msg_control = control_[i].data();
        headers_[i].msg_hdr.msg_controllen = control_[i].size();
      }
      const int count = recvmmsg(fd_, headers_.data(), kBatch, MSG_DONTWAIT, nullptr);
      for (int i = 0; i < count; ++i) {
        const auto at = static_cast<size_t>(i);
        uint16_t number = 0;
        if (!exchange_.Number(bytes_[at].data(), headers_[at].msg_len, &number)) {
          meter_.Failed("an answer that is none", 0);
        } else if (asked_[number]) {
          asked_[number] = false;
          --busy_;
          meter_.Done();
        }
      }
      if (count > 0) heard_ = NowNs();
      if (count < static_cast<int>(kBatch)) return;
    }
  }

  void GiveUp() {
    meter_.Lost(busy_);
    busy_ = 0;
    asked_.assign(asked_.size(), false);
  }

  const Options options_;
  Exchange& exchange_;
  const int epoll_, fd_;
  Pacer pacer_;
  Meter meter_;
  std::vector<bool> asked_;  // by number
  uint16_t next_ = 0;
  unsigned target_ = 0;
  int busy_ = 0;
  int64_t heard_ = 0;
  std::array<mmsghdr, kBatch> headers_{};
  std::array<iovec, kBatch> pieces_{};
  std::array<sockaddr_in, kBatch> peers_{};
  std::array<uint16_t, kBatch> numbers_{};
  std::array<std::array<uint8_t, 2048>, kBatch> bytes_{};
  std::array<std::array<uint8_t, 128>, kBatch> control_{};
};

}  // namespace

void RunDns(const Options& options) {
  Dns exchange(options.query);
  Datagrams(options, exchange).Run("dns");
}

void RunIcmp(const Options& options) {
  Icmp exchange;
  Datagrams(options, exchange).Run("icmp");
}

}  // namespace sonde::limits
