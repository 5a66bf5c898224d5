#include "engine/loop/uring.h"

#include <liburing.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/status/status.h"

namespace sonde {
namespace {

constexpr uint32_t kSetSockOpt = 3;  // SOCKET_URING_OP_SETSOCKOPT, since 6.7
constexpr unsigned kQueue = 1024;
constexpr unsigned kCompletions = 8192;
constexpr int kBufferGroup = 0;
constexpr size_t kBufferRingBytes = Uring::kBuffers * sizeof(io_uring_buf);

absl::Status Failed(int error, const char* what) { return absl::ErrnoToStatus(error, what); }

void* Map(size_t bytes) {
  void* const at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return at == MAP_FAILED ? nullptr : at;
}

}  // namespace

Uring::Uring() : ring_(std::make_unique<io_uring>()) {}

Uring::~Uring() {
  if (open_) io_uring_queue_exit(ring_.get());
  if (wake_ >= 0) close(wake_);
  if (buffer_ring_ != nullptr) munmap(buffer_ring_, kBufferRingBytes);
  if (buffers_ != nullptr) munmap(buffers_, kBufferBytes * kBuffers);
}

absl::StatusOr<std::unique_ptr<Uring>> Uring::Make(unsigned descriptors) {
  std::unique_ptr<Uring> made(new Uring);
  if (const absl::Status status = made->Init(descriptors); !status.ok()) return status;
  return made;
}

absl::Status Uring::Init(unsigned descriptors) {
  io_uring_params parameters{};
  // The kernel works for us only when we ask it to, never in the middle of a probe; a flag in
  // shared memory says when that is worth a call. The thread that submits is not yet known.
  parameters.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                     IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE |
                     IORING_SETUP_R_DISABLED;
  parameters.cq_entries = kCompletions;
  int error = -io_uring_queue_init_params(kQueue, ring_.get(), &parameters);
  if (error != 0) return Failed(error, "io_uring_setup");
  open_ = true;
  error = -io_uring_register_files_sparse(ring_.get(), descriptors);
  if (error != 0) return Failed(error, "a table of direct descriptors");
  wake_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (wake_ < 0) return Failed(errno, "eventfd");
  error = -io_uring_register_eventfd(ring_.get(), wake_);
  if (error != 0) return Failed(error, "io_uring_register_eventfd");
  buffers_ = static_cast<uint8_t*>(Map(kBufferBytes * kBuffers));
  buffer_ring_ = static_cast<io_uring_buf_ring*>(Map(kBufferRingBytes));
  if (buffers_ == nullptr || buffer_ring_ == nullptr) return Failed(ENOMEM, "buffers of a ring");
  io_uring_buf_reg registered{};
  registered.ring_addr = reinterpret_cast<uint64_t>(buffer_ring_);
  registered.ring_entries = kBuffers;
  registered.bgid = kBufferGroup;
  error = -io_uring_register_buf_ring(ring_.get(), &registered, 0);
  if (error != 0) return Failed(error, "io_uring_register_buf_ring");
  for (unsigned i = 0; i < kBuffers; ++i) GiveBack(static_cast<int>(i));
  return absl::OkStatus();
}

// What no older kernel has is an option of a direct descriptor.
absl::Status Uring::Supported() {
  auto made = Make(1);
  if (!made.ok()) return made.status();
  static constexpr int kOn = 1;
  Uring& ring = **made;
  ring.Open(0, AF_INET, 1);
  ring.SetOption(0, SOL_SOCKET, SO_KEEPALIVE, &kOn, sizeof kOn, 2);
  ring.Close(0);
  for (const Completion& done : ring.Collect()) {
    if (done.tag != 0) return Failed(-done.result, "a socket as a direct descriptor");
  }
  return absl::OkStatus();
}

// ---- queueing -----------------------------------------------------------------------------------

io_uring_sqe* Uring::Take(uint64_t tag) {
  io_uring_sqe* sqe = io_uring_get_sqe(ring_.get());
  if (sqe == nullptr) {
    Submit();
    sqe = io_uring_get_sqe(ring_.get());
  }
  if (sqe == nullptr && tag != 0) refused_.push_back({tag, -EAGAIN, -1});
  return sqe;
}

void Uring::Open(unsigned descriptor, int family, uint64_t tag) {
  io_uring_sqe* const sqe = Take(tag);
  if (sqe == nullptr) return;
  io_uring_prep_socket_direct(sqe, family, SOCK_STREAM, 0, descriptor, 0);
  sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
  sqe->user_data = tag;
}

void Uring::Connect(unsigned descriptor, const SocketAddress& to, uint64_t tag) {
  io_uring_sqe* const sqe = Take(tag);
  if (sqe == nullptr) return;
  io_uring_prep_connect(sqe, static_cast<int>(descriptor), to.get(), to.size());
  sqe->flags |= IOSQE_FIXED_FILE;
  sqe->user_data = tag;
}

void Uring::SetOption(unsigned descriptor, int level, int option, const void* value, size_t size,
                      uint64_t tag) {
  io_uring_sqe* const sqe = Take(tag);
  if (sqe == nullptr) return;
  io_uring_prep_rw(IORING_OP_URING_CMD, sqe, static_cast<int>(descriptor), nullptr, 0, 0);
  sqe->cmd_op = kSetSockOpt;
  // These share their places with other members: level and optname, optlen, optval.
  sqe->addr =
      static_cast<uint64_t>(static_cast<uint32_t>(option)) << 32 | static_cast<uint32_t>(level);
  sqe->file_index = static_cast<uint32_t>(size);
  sqe->addr3 = reinterpret_cast<uint64_t>(value);
  sqe->flags |= IOSQE_FIXED_FILE | IOSQE_CQE_SKIP_SUCCESS;
  sqe->user_data = tag;
}

void Uring::Send(unsigned descriptor, Bytes bytes, uint64_t tag) {
  io_uring_sqe* const sqe = Take(tag);
  if (sqe == nullptr) return;
  io_uring_prep_send(sqe, static_cast<int>(descriptor), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  sqe->flags |= IOSQE_FIXED_FILE;
  sqe->user_data = tag;
}

void Uring::Receive(unsigned descriptor, msghdr* header, uint64_t tag) {
  io_uring_sqe* const sqe = Take(tag);
  if (sqe == nullptr) return;
  io_uring_prep_recvmsg(sqe, static_cast<int>(descriptor), header, 0);
  sqe->ioprio = IORING_RECVSEND_POLL_FIRST;  // it seldom is there already
  sqe->flags |= IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT;
  sqe->buf_group = kBufferGroup;
  sqe->user_data = tag;
}

void Uring::Cancel(uint64_t tag) {
  io_uring_sqe* const sqe = Take(0);
  if (sqe == nullptr) return;
  io_uring_prep_cancel64(sqe, tag, 0);
  sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
  sqe->user_data = 0;
}

void Uring::Close(unsigned descriptor) {
  io_uring_sqe* const sqe = Take(0);
  if (sqe == nullptr) return;
  io_uring_prep_close_direct(sqe, descriptor);
  sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
  sqe->user_data = 0;
}

// ---- the kernel ---------------------------------------------------------------------------------

void Uring::Enable() {
  if (std::exchange(enabled_, true)) return;
  // The library of Debian 12 declares io_uring_enable_rings and does not have it.
  syscall(__NR_io_uring_register, ring_->ring_fd, IORING_REGISTER_ENABLE_RINGS, nullptr, 0);
}

// What happens in a call of ours is seen after it: no need to be woken for it.
// Ordered before whoever asks for work next: what came earlier is seen then, what comes later
// wakes.
void Uring::Wakes(bool on) {
  unsigned* const flags = ring_->cq.kflags;
  if (on) {
    __atomic_fetch_and(flags, ~unsigned{IORING_CQ_EVENTFD_DISABLED}, __ATOMIC_SEQ_CST);
  } else {
    __atomic_fetch_or(flags, unsigned{IORING_CQ_EVENTFD_DISABLED}, __ATOMIC_SEQ_CST);
  }
}

bool Uring::HasWork() const {
  constexpr unsigned kWork = IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW;
  return !flag_is_old_ && (__atomic_load_n(ring_->sq.kflags, __ATOMIC_ACQUIRE) & kWork) != 0;
}

// The kernel queues work and then raises the flag (io_req_local_work_add): when we did the work in
// between, the flag stays up over nothing until more comes. False: so it was; what comes wakes us.
bool Uring::FlagIsTrue() {
  io_uring_get_events(ring_.get());
  flag_is_old_ = io_uring_cq_ready(ring_.get()) == 0;
  return !flag_is_old_;
}

bool Uring::queued() const { return io_uring_sq_ready(ring_.get()) != 0; }

bool Uring::pending() const {
  return queued() || HasWork() || io_uring_cq_ready(ring_.get()) != 0 || !refused_.empty();
}

void Uring::Submit() {
  if (!queued()) return;
  Enable();
  flag_is_old_ = false;
  Wakes(false);
  io_uring_submit(ring_.get());
  Wakes(true);
}

std::span<const Uring::Completion> Uring::Collect() {
  if (queued() || HasWork()) {
    Enable();
    flag_is_old_ = false;
    Wakes(false);
    io_uring_submit_and_get_events(ring_.get());
    Wakes(true);
  }
  const bool work_left = HasWork() && (io_uring_cq_ready(ring_.get()) != 0 || FlagIsTrue());
  done_.clear();
  done_.swap(refused_);
  unsigned head, count = 0;
  io_uring_cqe* cqe;
  io_uring_for_each_cqe(ring_.get(), head, cqe) {
    if (count == kBatch) break;
    ++count;
    if (cqe->user_data == 0) continue;
    const bool buffer = (cqe->flags & IORING_CQE_F_BUFFER) != 0;
    done_.push_back({cqe->user_data, cqe->res,
                     buffer ? static_cast<int>(cqe->flags >> IORING_CQE_BUFFER_SHIFT) : -1});
  }
  io_uring_cq_advance(ring_.get(), count);
  more_ = work_left || io_uring_cq_ready(ring_.get()) != 0;
  return done_;
}

// ---- buffers ------------------------------------------------------------------------------------

Bytes Uring::BufferOf(int buffer, size_t from, size_t to) const {
  return {buffers_ + static_cast<size_t>(buffer) * kBufferBytes + from, to - from};
}

void Uring::GiveBack(int buffer) {
  io_uring_buf_ring_add(buffer_ring_, buffers_ + static_cast<size_t>(buffer) * kBufferBytes,
                        kBufferBytes, static_cast<uint16_t>(buffer), kBuffers - 1, 0);
  io_uring_buf_ring_advance(buffer_ring_, 1);
}

}  // namespace sonde
