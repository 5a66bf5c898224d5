// What a shard sleeps on: one epoll descriptor with everything it watches. Descriptors that can
// wait stand in a second one within the first, so that all of them are held back by one call.
#pragma once

#include <sys/epoll.h>

#include <array>
#include <cstdint>
#include <memory>
#include <span>
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

  static absl::StatusOr<std::unique_ptr<Poller>> Make();  // an error also before Linux 5.11
  ~Poller();
  Poller(const Poller&) = delete;
  Poller& operator=(const Poller&) = delete;

  int fd() const { return epoll_; }  // readable when something is ready that is not held back

  // Whether a descriptor's events may be held back.
  enum class Urgency : uint8_t { kUrgent, kCanWait };

  // 0 or an errno. `handler` must outlive the registration.
  int Add(int fd, uint32_t events, Handler* handler, Urgency urgency = Urgency::kUrgent);
  int Modify(int fd, uint32_t events);
  // The descriptor lives on, unwatched.
  void Remove(int fd);
  // The descriptor is about to be closed, which ends its registration in the kernel: saves a call.
  // Needs a descriptor without duplicates.
  void Forget(int fd);

  // Sleeps until something is ready that is not held back, which the next DispatchOnce hands out,
  // or for `most`: then at most 10 us longer, but up to a thousandth shorter.
  void Await(Duration most);

  // One epoll_wait that does not block, or what Await found: at most kBatch events, each given to
  // its handler. Also what is held back, which takes an epoll_wait of its own. An event whose
  // descriptor was removed or forgotten meanwhile (even when the number is in use again) is
  // dropped: registrations carry generations. Returns how many the kernel had; kBatch means there
  // may be more.
  int DispatchOnce();

  // While held, what can wait neither ends Await nor makes fd() readable. Costs a system call when
  // it changes.
  void Hold(bool hold);

  // Events were taken from the kernel and are not told yet.
  bool has_untold() const { return telling_ || awaited_ > 0; }

  uint64_t stale_events() const { return stale_events_; }

 private:
  struct Registration {
    Handler* handler = nullptr;
    uint32_t generation = 0;
    Urgency urgency = Urgency::kUrgent;
  };
  Poller(int epoll, int patient) : epoll_(epoll), patient_(patient) {}
  int EpollOf(const Registration& registration) const {
    return registration.urgency == Urgency::kUrgent ? epoll_ : patient_;
  }
  int Wait(int64_t most_ns);
  void Tell(std::span<const epoll_event> events);

  const int epoll_;
  const int patient_;  // within epoll_: those that can wait
  bool held_ = false;
  bool patient_ready_ = false;  // epoll_ said so
  int awaited_ = -1;            // events Await found; negative: it was not called
  bool telling_ = false;
  std::array<epoll_event, kBatch> events_;
  std::vector<Registration> registrations_;  // by descriptor: the kernel keeps them dense
  uint64_t stale_events_ = 0;
};

}  // namespace sonde
