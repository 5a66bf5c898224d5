#include "engine/loop/poller.h"

#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/status/status.h"

namespace sonde {
namespace {

int64_t ReadClock(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

// Of the descriptor that stands for all that can wait: no other has it.
constexpr uint64_t kPatientTag = UINT64_MAX;
constexpr int kPatientBatch = 64;

uint64_t Tag(int fd, uint32_t generation) {
  return uint64_t{generation} << 32 | static_cast<uint32_t>(fd);
}

}  // namespace

Instant MonotonicNow() { return {ReadClock(CLOCK_MONOTONIC)}; }
WallTime WallNow() { return {ReadClock(CLOCK_REALTIME)}; }

absl::StatusOr<std::unique_ptr<Poller>> Poller::Make() {
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  if (epoll < 0) return absl::ErrnoToStatus(errno, "epoll_create1");
  const int patient = epoll_create1(EPOLL_CLOEXEC);
  std::unique_ptr<Poller> made(new Poller(epoll, patient));
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = kPatientTag;
  if (patient < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, patient, &event) != 0) {
    return absl::ErrnoToStatus(errno, "epoll within epoll");
  }
  if (made->Wait(0) < 0) return absl::ErrnoToStatus(errno, "epoll_pwait2 (Linux 5.11)");
  return made;
}

Poller::~Poller() {
  if (patient_ >= 0) close(patient_);
  close(epoll_);
}

int Poller::Add(int fd, uint32_t events, Handler* handler, Urgency urgency) {
  const size_t index = static_cast<size_t>(fd);
  if (index >= registrations_.size()) registrations_.resize(index + 64);
  Registration& registration = registrations_[index];
  registration.urgency = urgency;
  epoll_event event{};
  event.events = events;
  event.data.u64 = Tag(fd, registration.generation);
  if (epoll_ctl(EpollOf(registration), EPOLL_CTL_ADD, fd, &event) != 0) return errno;
  registration.handler = handler;
  return 0;
}

int Poller::Modify(int fd, uint32_t events) {
  const Registration& registration = registrations_[static_cast<size_t>(fd)];
  epoll_event event{};
  event.events = events;
  event.data.u64 = Tag(fd, registration.generation);
  return epoll_ctl(EpollOf(registration), EPOLL_CTL_MOD, fd, &event) == 0 ? 0 : errno;
}

void Poller::Remove(int fd) {
  Forget(fd);
  epoll_ctl(EpollOf(registrations_[static_cast<size_t>(fd)]), EPOLL_CTL_DEL, fd, nullptr);
}

void Poller::Forget(int fd) {
  Registration& registration = registrations_[static_cast<size_t>(fd)];
  registration.handler = nullptr;
  ++registration.generation;
}

void Poller::Hold(bool hold) {
  if (hold == held_) return;
  epoll_event event{};
  event.events = hold ? 0u : uint32_t{EPOLLIN};
  event.data.u64 = kPatientTag;
  if (epoll_ctl(epoll_, EPOLL_CTL_MOD, patient_, &event) == 0) held_ = hold;
}

// The kernel may end a sleep late by a thousandth of it (select_estimate_accuracy in fs/select.c),
// so that one sleep serves many who wait.
void Poller::Await(Duration most) {
  if (most > Milliseconds(10)) most.ns -= most.ns / 1000;
  awaited_ = Wait(std::max(most.ns, int64_t{0}));
}

int Poller::Wait(int64_t most_ns) {
  const timespec most{most_ns / 1'000'000'000, most_ns % 1'000'000'000};
  return epoll_pwait2(epoll_, events_.data(), kBatch, &most, nullptr);
}

int Poller::DispatchOnce() {
  patient_ready_ = held_;
  int count = std::exchange(awaited_, -1);
  if (count < 0) count = epoll_wait(epoll_, events_.data(), kBatch, 0);
  Tell({events_.data(), static_cast<size_t>(std::max(count, 0))});
  if (!patient_ready_) return std::max(count, 0);
  std::array<epoll_event, kPatientBatch> patient;
  const int more = epoll_wait(patient_, patient.data(), kPatientBatch, 0);
  Tell({patient.data(), static_cast<size_t>(std::max(more, 0))});
  return more == kPatientBatch ? kBatch : std::max({count, more, 0});
}

void Poller::Tell(std::span<const epoll_event> events) {
  telling_ = true;
  for (const epoll_event& event : events) {
    const uint64_t tag = event.data.u64;
    if (tag == kPatientTag) {
      patient_ready_ = true;
      continue;
    }
    const int fd = static_cast<int>(tag & 0xffffffffu);
    const Registration& registration = registrations_[static_cast<size_t>(fd)];
    if (registration.handler == nullptr ||
        registration.generation != static_cast<uint32_t>(tag >> 32)) {
      ++stale_events_;
      continue;
    }
    registration.handler->OnReady(fd, event.events, MonotonicNow());
  }
  telling_ = false;
}

}  // namespace sonde
