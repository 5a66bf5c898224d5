// The one epoll descriptor of a shard. It sits in the shard's libuv loop as a single handle
// ("nested"); every socket and timer of the shard is registered here.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/contract/instant.h"

namespace sonde {

// CLOCK_MONOTONIC and CLOCK_REALTIME, read now (about 25 ns each). Any thread.
Instant MonotonicNow();
WallTime WallNow();

// One thread only. Descriptors are the caller's: the poller never closes one.
class Poller {
 public:
  static constexpr int kBatch = 512;

  class Handler {
   public:
    // `events` as epoll gave them; `at` is read right before this call.
    virtual void OnReady(int fd, uint32_t events, Instant at) = 0;

   protected:
    ~Handler() = default;
  };

  static absl::StatusOr<std::unique_ptr<Poller>> Make();
  ~Poller();
  Poller(const Poller&) = delete;
  Poller& operator=(const Poller&) = delete;

  int fd() const { return epoll_; }  // readable when something is ready

  // 0 or an errno. `handler` must outlive the registration.
  int Add(int fd, uint32_t events, Handler* handler);
  int Modify(int fd, uint32_t events);
  // The descriptor lives on, unwatched.
  void Remove(int fd);
  // The descriptor is about to be closed, which ends its registration in the kernel: saves a call.
  // Needs a descriptor without duplicates.
  void Forget(int fd);

  // One epoll_wait that does not block, at most kBatch events, each given to its handler. An event
  // whose descriptor was removed or forgotten meanwhile (even when the number is in use again) is
  // dropped: registrations carry generations. Returns how many the kernel had; kBatch means there
  // may be more.
  int DispatchOnce();

  uint64_t stale_events() const { return stale_events_; }

 private:
  struct Registration {
    Handler* handler = nullptr;
    uint32_t generation = 0;
  };
  explicit Poller(int epoll) : epoll_(epoll) {}

  int epoll_;
  std::vector<Registration> registrations_;  // by descriptor: the kernel keeps them dense
  uint64_t stale_events_ = 0;
};

}  // namespace sonde
