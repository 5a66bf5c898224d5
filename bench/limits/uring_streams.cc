// The exchanges of streams.cc over io_uring with direct descriptors: no system call of their own,
// io_uring_enter is shared by all that are ready. Either an exchange is one linked chain, from
// socket to close, or (`steps`) it goes on as its answers come: connected, asked, read, closed, as
// somebody must who judges what comes back. There is no TCP_INFO: the kernel's getsockopt by
// io_uring knows SOL_SOCKET only.
#include <liburing.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>
#include <vector>

#include "bench/limits/limits.h"

namespace sonde::limits {
namespace {

// Since Linux 6.7; the headers of Debian 12 are older (linux/io_uring.h).
constexpr uint32_t kCommandSetSockOpt = 3;  // SOCKET_URING_OP_SETSOCKOPT

constexpr std::string_view kRequest =
    "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: limits\r\nConnection: close\r\n\r\n";
constexpr size_t kAnswerBytes = 2048;
constexpr linger kNow{1, 0};
constexpr unsigned kLinked = IOSQE_IO_HARDLINK;  // what follows is done also when this fails

enum class Op : uint8_t { kOther, kConnect, kReceive, kClose, kPacer };

class UringStreams {
 public:
  UringStreams(const Options& options, bool http)
      : options_(options),
        http_(http),
        epoll_(epoll_create1(EPOLL_CLOEXEC)),
        pacer_(options, epoll_),
        meter_(options),
        slots_(static_cast<size_t>(options.in_flight)),
        answers_(http ? slots_.size() * kAnswerBytes : 0) {
    io_uring_params parameters{};
    parameters.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                       IORING_SETUP_COOP_TASKRUN | IORING_SETUP_CQSIZE;
    parameters.cq_entries = 16384;
    if (const int e = io_uring_queue_init_params(4096, &ring_, &parameters)) Die("io_uring", -e);
    if (const int e =
            io_uring_register_files_sparse(&ring_, static_cast<unsigned>(slots_.size()))) {
      Die("register_files", -e);
    }
    io_uring_register_ring_fd(&ring_);
    for (unsigned i = 0; i < slots_.size(); ++i) free_.push_back(i);
  }
  ~UringStreams() {
    io_uring_queue_exit(&ring_);
    close(epoll_);
  }

  void Run(const char* name) {
    if (pacer_.fd() >= 0) WatchPacer();
    Start();
    while (meter_.Going()) {
      __kernel_timespec most{0, 100'000'000};
      io_uring_cqe* cqe = nullptr;
      io_uring_submit_and_wait_timeout(&ring_, &cqe, 1, &most, nullptr);
      unsigned head, count = 0;
      io_uring_for_each_cqe(&ring_, head, cqe) {
        ++count;
        OnCompletion(cqe->user_data, cqe->res);
      }
      io_uring_cq_advance(&ring_, count);
      Start();
    }
    meter_.Print(name);
  }

 private:
  struct Slot {
    sockaddr_in to;
    bool failed = false;
  };

  static uint64_t Tag(Op op, unsigned slot) {
    return uint64_t{slot} << 8 | static_cast<uint8_t>(op);
  }

  io_uring_sqe* Take() {
    io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
    while (sqe == nullptr) {
      io_uring_submit(&ring_);
      sqe = io_uring_get_sqe(&ring_);
    }
    return sqe;
  }

  // Links must not be torn apart by a submission in between.
  void Reserve(unsigned count) {
    if (io_uring_sq_space_left(&ring_) < count) io_uring_submit(&ring_);
  }

  void Tell(io_uring_sqe* sqe, Op op, unsigned slot, unsigned flags) {
    sqe->flags |= static_cast<uint8_t>(flags);
    sqe->user_data = Tag(op, slot);
  }

  void WatchPacer() {
    io_uring_sqe* sqe = Take();
    io_uring_prep_poll_add(sqe, pacer_.fd(), POLLIN);
    sqe->user_data = Tag(Op::kPacer, 0);
  }

  void Start() {
    for (int left = pacer_.Take(busy_); left > 0 && !free_.empty(); --left) Open();
  }

  void Open() {
    constexpr unsigned kQuiet = IOSQE_CQE_SKIP_SUCCESS;
    const unsigned slot = free_.back();
    free_.pop_back();
    ++busy_;
    slots_[slot] = {TargetAddress(options_, next_++), false};
    Reserve(6);
    io_uring_sqe* sqe = Take();
    io_uring_prep_socket_direct(sqe, AF_INET, SOCK_STREAM, 0, slot, 0);
    Tell(sqe, Op::kOther, slot, kLinked | kQuiet);
    if (options_.reset) {
      sqe = Take();
      io_uring_prep_rw(IORING_OP_URING_CMD, sqe, static_cast<int>(slot), nullptr, 0, 0);
      sqe->cmd_op = kCommandSetSockOpt;
      // level, optname; optlen and optval (linux/io_uring.h, since 6.7).
      sqe->addr = uint64_t{SO_LINGER} << 32 | SOL_SOCKET;
      sqe->file_index = sizeof kNow;
      sqe->addr3 = reinterpret_cast<uint64_t>(&kNow);
      Tell(sqe, Op::kOther, slot, kLinked | kQuiet | IOSQE_FIXED_FILE);
    }
    sqe = Take();
    io_uring_prep_connect(sqe, static_cast<int>(slot),
                          reinterpret_cast<const sockaddr*>(&slots_[slot].to), sizeof(sockaddr_in));
    Tell(sqe, Op::kConnect, slot, IOSQE_FIXED_FILE | (options_.steps ? 0 : kLinked));
    if (options_.steps) return;
    if (http_) Ask(slot, kLinked);
    Close(slot);
  }

  void Ask(unsigned slot, unsigned on) {
    Reserve(2);
    io_uring_sqe* sqe = Take();
    io_uring_prep_send(sqe, static_cast<int>(slot), kRequest.data(), kRequest.size(), MSG_NOSIGNAL);
    Tell(sqe, Op::kOther, slot, IOSQE_FIXED_FILE | IOSQE_CQE_SKIP_SUCCESS | kLinked);
    sqe = Take();
    io_uring_prep_recv(sqe, static_cast<int>(slot), &answers_[slot * kAnswerBytes], kAnswerBytes,
                       0);
    sqe->ioprio = IORING_RECVSEND_POLL_FIRST;  // it never is there yet
    Tell(sqe, Op::kReceive, slot, IOSQE_FIXED_FILE | on);
  }

  void Close(unsigned slot) {
    io_uring_sqe* sqe = Take();
    io_uring_prep_close_direct(sqe, slot);
    Tell(sqe, Op::kClose, slot, 0);
  }

  void OnCompletion(uint64_t tag, int result) {
    const auto slot = static_cast<unsigned>(tag >> 8);
    switch (static_cast<Op>(tag & 0xff)) {
      case Op::kOther:
        return Fail(slot, "an operation", -result);
      case Op::kConnect:
        if (result != 0) Fail(slot, "connect", -result);
        if (!options_.steps) return;
        if (http_ && result == 0) return Ask(slot, 0);
        return Close(slot);
      case Op::kReceive:
        Judge(slot, result);
        if (options_.steps) Close(slot);
        return;
      case Op::kClose:
        if (!slots_[slot].failed) meter_.Done();
        free_.push_back(slot);
        --busy_;
        return;
      case Op::kPacer:
        pacer_.Tick();
        return WatchPacer();
    }
  }

  void Fail(unsigned slot, const char* what, int error) {
    if (!std::exchange(slots_[slot].failed, true)) meter_.Failed(what, error);
  }

  void Judge(unsigned slot, int count) {
    const char* const answer = &answers_[slot * kAnswerBytes];
    if (count < 16 || std::memcmp(answer + 9, "200", 3) != 0 ||
        memmem(answer, static_cast<size_t>(count), "\r\n\r\n", 4) == nullptr) {
      Fail(slot, "no HTTP answer of status 200", count < 0 ? -count : 0);
    }
  }

  const Options options_;
  const bool http_;
  const int epoll_;
  Pacer pacer_;
  Meter meter_;
  io_uring ring_{};
  std::vector<Slot> slots_;  // by direct descriptor
  std::vector<unsigned> free_;
  std::vector<char> answers_;
  int busy_ = 0;
  unsigned next_ = 0;
};

}  // namespace

void RunConnectByUring(const Options& options) { UringStreams(options, false).Run("tcp-uring"); }
void RunHttpNewByUring(const Options& options) { UringStreams(options, true).Run("http-uring"); }

}  // namespace sonde::limits
