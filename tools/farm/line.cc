#include "tools/farm/line.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <ctime>

namespace sonde {
namespace {

constexpr int kPacketsPerTurn = 32;
constexpr int64_t kLongestSleep = 1'000'000'000;

int64_t MonotonicNs() {
  timespec ts{};
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return ts.tv_sec * 1'000'000'000 + ts.tv_nsec;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Line>> Line::Open(const LineOptions& options) {
  auto near = TunDevice::Open(options.near, options.mtu);
  if (!near.ok()) return near.status();
  auto far = TunDevice::Open(options.far, options.mtu);
  if (!far.ok()) return far.status();
  std::unique_ptr<Line> line(new Line(options, std::move(*near), std::move(*far)));
  if (line->epoll_ < 0 || line->wake_ < 0) return absl::UnavailableError("no descriptor left");
  return line;
}

Line::Line(const LineOptions& options, std::unique_ptr<TunDevice> near,
           std::unique_ptr<TunDevice> far)
    : options_(options),
      ends_{std::move(near), std::move(far)},
      queue_(options.there, options.back, static_cast<size_t>(options.mtu),
             static_cast<size_t>(options.capacity), options.seed),
      epoll_(epoll_create1(EPOLL_CLOEXEC)),
      wake_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  for (const int fd : {ends_[0]->fd(), ends_[1]->fd(), wake_}) {
    epoll_event event{};
    event.events = EPOLLIN;
    epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event);
  }
}

Line::~Line() {
  if (epoll_ >= 0) close(epoll_);
  if (wake_ >= 0) close(wake_);
}

void Line::Wake() {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(wake_, &one, sizeof(one));
}

void Line::Stop() {
  stop_.store(true);
  Wake();
}

void Line::Report() {
  report_.store(true);
  Wake();
}

// As long as something happens or is about to, it looks instead of sleeping: waking up takes the
// system longer than a packet may be late.
void Line::Run() {
  int64_t last_active = 0;
  while (!stop_.load(std::memory_order_relaxed)) {
    const bool took = TakeAll();
    const bool active = GiveDue() || took;
    if (report_.exchange(false, std::memory_order_relaxed)) {
      std::fputs(StatsJson().c_str(), stderr);
    }
    const int64_t now = MonotonicNs();
    if (active) last_active = now;
    const int64_t spin = options_.spin.ns;
    if (options_.busy || now - last_active < spin || queue_.NextDue() - now < spin) continue;
    Sleep(now);
  }
}

void Line::Sleep(int64_t now_ns) {
  const int64_t until = std::min(queue_.NextDue() - options_.spin.ns, now_ns + kLongestSleep);
  const int64_t wait = std::max<int64_t>(0, until - now_ns);
  const timespec timeout{wait / 1'000'000'000, wait % 1'000'000'000};
  epoll_event events[4];
  const int count = epoll_pwait2(epoll_, events, 4, &timeout, nullptr);
  if (count <= 0) return;
  uint64_t woken = 0;
  [[maybe_unused]] const ssize_t got = read(wake_, &woken, sizeof(woken));
}

bool Line::TakeAll() {
  bool active = false;
  for (size_t direction = 0; direction < PacketQueue::kDirections; ++direction) {
    for (int i = 0; i < kPacketsPerTurn; ++i) {
      const std::span<uint8_t> room = queue_.Room();
      const ssize_t size = read(ends_[direction]->fd(), room.data(), room.size());
      if (size <= 0) break;
      queue_.Put(direction, static_cast<size_t>(size), MonotonicNs());
      active = true;
    }
  }
  return active;
}

bool Line::GiveDue() {
  bool active = false;
  for (int i = 0; i < 2 * kPacketsPerTurn && queue_.size() > 0; ++i) {
    const int64_t late = MonotonicNs() - queue_.NextDue();
    if (late < 0) break;
    const PacketQueue::Packet packet = queue_.Next();
    auto& out = out_[packet.direction];
    const int to = ends_[1 - packet.direction]->fd();
    if (write(to, packet.bytes.data(), packet.bytes.size()) < 0) {
      ++out.refused;
    } else {
      ++out.delivered;
      out.late_ns += late;
      out.latest_ns = std::max(out.latest_ns, late);
    }
    queue_.Pop();
    active = true;
  }
  return active;
}

std::string Line::StatsJson() const {
  std::string json = "{";
  for (size_t direction = 0; direction < PacketQueue::kDirections; ++direction) {
    const LineCounts& counts = queue_.counts(direction);
    const auto& out = out_[direction];
    const std::pair<const char*, uint64_t> fields[] = {
        {"taken", counts.taken},
        {"lost", counts.lost},
        {"duplicated", counts.duplicated},
        {"reordered", counts.reordered},
        {"overflow", counts.overflow},
        {"refused", out.refused},
        {"delivered", out.delivered},
        {"late_mean_ns",
         out.delivered == 0 ? 0 : static_cast<uint64_t>(out.late_ns) / out.delivered},
        {"late_max_ns", static_cast<uint64_t>(out.latest_ns)}};
    json += direction == 0 ? "\"there\":{" : "},\"back\":{";
    for (const auto& [name, value] : fields) {
      if (json.back() != '{') json += ",";
      json += "\"" + std::string(name) + "\":" + std::to_string(value);
    }
  }
  return json + "}}\n";
}

}  // namespace sonde
