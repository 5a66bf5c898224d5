// One io_uring with a table of direct descriptors: sockets that count against no limit of
// descriptors, and operations that share system calls.
//
// Operations are carried out in the order they are queued, as far as they need not wait: what is
// queued for a descriptor right behind Open finds it open, what is queued behind Close finds it
// free. https://man7.org/linux/man-pages/man7/io_uring.7.html; numbers younger than the headers of
// Debian 12 are from linux/io_uring.h of 6.7.
#pragma once

#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/contract/conversation.h"
#include "engine/loop/socket_address.h"

struct io_uring;
struct io_uring_sqe;
struct io_uring_buf_ring;

namespace sonde {

// One thread only: the one that submits first, which need not be the one that made it. `tag` comes
// back with the completion; 0 is nobody's.
class Uring {
 public:
  struct Completion {
    uint64_t tag = 0;
    int result = 0;   // a count, or a negative errno
    int buffer = -1;  // Receive: where the bytes are, until GiveBack
  };
  static constexpr size_t kBufferBytes = 8 * 1024;
  static constexpr unsigned kBuffers = 256;
  static constexpr unsigned kBatch = 64;

  // Tries all that is needed. An error where there is no io_uring, where it is forbidden, or where
  // the kernel is older than 6.7. Any thread.
  static absl::Status Supported();

  // A table of `descriptors`, at most RLIMIT_NOFILE of them.
  static absl::StatusOr<std::unique_ptr<Uring>> Make(unsigned descriptors);
  ~Uring();
  Uring(const Uring&) = delete;
  Uring& operator=(const Uring&) = delete;

  // An eventfd, written when there is something to collect; for an edge-triggered watch.
  int wake_fd() const { return wake_; }

  // ---- what is queued. Only what says so has a completion of its own when it succeeds. ----
  void Open(unsigned descriptor, int family, uint64_t tag);  // a TCP socket; tells of failure only
  // Told. `to` must live until Submit or Collect.
  void Connect(unsigned descriptor, const SocketAddress& to, uint64_t tag);
  // Tells of failure only. `value` must live until Submit or Collect.
  void SetOption(unsigned descriptor, int level, int option, const void* value, size_t size,
                 uint64_t tag = 0);
  void Send(unsigned descriptor, Bytes bytes, uint64_t tag);  // told; `bytes` live until then
  // One recvmsg into a buffer of the ring's; told, -ENOBUFS when all are taken. `header` lives
  // until then; its one piece says how much is wanted.
  void Receive(unsigned descriptor, msghdr* header, uint64_t tag);
  void Cancel(uint64_t tag);  // the operation of that tag is told as -ECANCELED, or as it ended
  void Close(unsigned descriptor);

  // Hands what is queued to the kernel, which carries out what need not wait.
  void Submit();
  // The same, and lets operations go on that waited. At most kBatch completions; valid until the
  // next call. None: nothing was there.
  std::span<const Completion> Collect();
  // The eventfd was written.
  void Woken() { flag_is_old_ = false; }
  // Collect left something behind that was there.
  bool more() const { return more_; }
  // Something is queued or to be collected.
  bool pending() const;
  bool queued() const;

  Bytes BufferOf(int buffer, size_t from, size_t to) const;
  void GiveBack(int buffer);

 private:
  Uring();
  absl::Status Init(unsigned descriptors);
  void Enable();
  io_uring_sqe* Take(uint64_t tag);
  bool HasWork() const;
  bool FlagIsTrue();
  void Wakes(bool on);

  std::unique_ptr<io_uring> ring_;
  bool open_ = false;
  bool enabled_ = false;
  bool more_ = false;
  bool flag_is_old_ = false;
  int wake_ = -1;
  io_uring_buf_ring* buffer_ring_ = nullptr;
  uint8_t* buffers_ = nullptr;
  std::vector<Completion> done_;
  std::vector<Completion> refused_;  // the kernel would not even take them
};

}  // namespace sonde
