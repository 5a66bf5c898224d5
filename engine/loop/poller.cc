#include "engine/loop/poller.h"

#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>

#include "absl/status/status.h"

namespace sonde {
namespace {

int64_t ReadClock(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

uint64_t Tag(int fd, uint32_t generation) {
  return uint64_t{generation} << 32 | static_cast<uint32_t>(fd);
}

}  // namespace

Instant MonotonicNow() { return {ReadClock(CLOCK_MONOTONIC)}; }
WallTime WallNow() { return {ReadClock(CLOCK_REALTIME)}; }

absl::StatusOr<std::unique_ptr<Poller>> Poller::Make() {
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  if (epoll < 0) return absl::ErrnoToStatus(errno, "epoll_create1");
  return std::unique_ptr<Poller>(new Poller(epoll));
}

Poller::~Poller() { close(epoll_); }

int Poller::Add(int fd, uint32_t events, Handler* handler) {
  const size_t index = static_cast<size_t>(fd);
  if (index >= registrations_.size()) registrations_.resize(index + 64);
  Registration& registration = registrations_[index];
  epoll_event event{};
  event.events = events;
  event.data.u64 = Tag(fd, registration.generation);
  if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) return errno;
  registration.handler = handler;
  return 0;
}

int Poller::Modify(int fd, uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = Tag(fd, registrations_[static_cast<size_t>(fd)].generation);
  return epoll_ctl(epoll_, EPOLL_CTL_MOD, fd, &event) == 0 ? 0 : errno;
}

void Poller::Remove(int fd) {
  Forget(fd);
  epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, nullptr);
}

void Poller::Forget(int fd) {
  Registration& registration = registrations_[static_cast<size_t>(fd)];
  registration.handler = nullptr;
  ++registration.generation;
}

int Poller::DispatchOnce() {
  epoll_event events[kBatch];
  const int count = epoll_wait(epoll_, events, kBatch, 0);
  for (int i = 0; i < count; ++i) {
    const uint64_t tag = events[i].data.u64;
    const int fd = static_cast<int>(tag & 0xffffffffu);
    const Registration& registration = registrations_[static_cast<size_t>(fd)];
    if (registration.handler == nullptr ||
        registration.generation != static_cast<uint32_t>(tag >> 32)) {
      ++stale_events_;
      continue;
    }
    registration.handler->OnReady(fd, events[i].events, MonotonicNow());
  }
  return count > 0 ? count : 0;
}

}  // namespace sonde
