// How many answers one core of the farm gives: a farm of one thread, and a client on another that
// keeps 64 connections busy (keep-alive), opens one per request, or keeps 256 DNS queries over UDP
// in flight. `per_core` is answers per second of the farm's own processor time, which is what
// counts where the two share a core.
#include <arpa/inet.h>
#include <benchmark/benchmark.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <ctime>

#include "tools/farm/farm.h"

namespace sonde {
namespace {

constexpr size_t kConnections = 64;
constexpr char kRequest[] = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: bench\r\n\r\n";

double CpuSeconds(clockid_t clock) {
  timespec ts{};
  clock_gettime(clock, &ts);
  return static_cast<double>(ts.tv_sec) + static_cast<double>(ts.tv_nsec) * 1e-9;
}

int Connect(uint16_t port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof(to)) == 0) return fd;
  close(fd);
  return -1;
}

std::unique_ptr<Farm> StartFarm() {
  FarmConfig config;
  config.listeners.resize(1);
  auto farm = Farm::Start(config);
  return farm.ok() ? std::move(*farm) : nullptr;
}

// Processor time of everything in this process that is not the calling thread.
double OthersCpu() {
  return CpuSeconds(CLOCK_PROCESS_CPUTIME_ID) - CpuSeconds(CLOCK_THREAD_CPUTIME_ID);
}

void Finish(benchmark::State& state, double cpu_before, size_t answers) {
  state.SetItemsProcessed(static_cast<int64_t>(answers));
  state.counters["per_core"] = static_cast<double>(answers) / (OthersCpu() - cpu_before);
}

void KeepAlive(benchmark::State& state) {
  const auto farm = StartFarm();
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  std::array<int, kConnections> fds{};
  for (int& fd : fds) {
    fd = Connect(farm->Ports(0)[0]);
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = fd;
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
    if (send(fd, kRequest, sizeof(kRequest) - 1, 0) < 0) state.SkipWithError("send");
  }
  const double cpu = OthersCpu();
  size_t answers = 0;
  for (auto _ : state) {
    epoll_event events[kConnections];
    const int count = epoll_wait(epoll, events, kConnections, 5000);
    if (count <= 0) {
      state.SkipWithError("no answer");
      break;
    }
    for (int i = 0; i < count; ++i) {
      char answer[512];
      if (recv(events[i].data.fd, answer, sizeof(answer), 0) <= 0) state.SkipWithError("closed");
      if (send(events[i].data.fd, kRequest, sizeof(kRequest) - 1, 0) < 0) break;
      ++answers;
    }
  }
  Finish(state, cpu, answers);
  for (const int fd : fds) close(fd);
  close(epoll);
}

void ConnectionPerRequest(benchmark::State& state) {
  const auto farm = StartFarm();
  const double cpu = OthersCpu();
  size_t answers = 0;
  for (auto _ : state) {
    const int fd = Connect(farm->Ports(0)[0]);
    char answer[512];
    if (fd < 0 || send(fd, kRequest, sizeof(kRequest) - 1, 0) < 0 ||
        recv(fd, answer, sizeof(answer), 0) <= 0) {
      state.SkipWithError("no answer");
      break;
    }
    const linger reset{1, 0};  // no TIME_WAIT: 28,000 ports would be gone in a second
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    close(fd);
    ++answers;
  }
  Finish(state, cpu, answers);
}

// A query for NAME.farm.test A, NAME four digits.
constexpr unsigned char kQuery[] =
    "\0\0\1\0\0\1\0\0\0\0\0\0\4"
    "0000\4farm\4test\0\0\1\0";  // and a last 1
constexpr size_t kQuerySize = 12 + 5 + 5 + 5 + 1 + 4;
constexpr size_t kInFlight = 256, kAtOnce = 32;

void DnsOverUdp(benchmark::State& state) {
  FarmConfig config;
  config.listeners.resize(1);
  config.listeners[0].kind = ListenerConfig::Kind::kDns;
  config.listeners[0].delay = {Delay::Kind::kConstant, Microseconds(state.range(0)), {}, 0};
  auto farm = Farm::Start(config);
  if (!farm.ok()) return state.SkipWithError("no farm");
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const timeval timeout{5, 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons((*farm)->Ports(0)[0]);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof(to)) != 0)
    state.SkipWithError("connect");

  std::array<std::array<unsigned char, 512>, kAtOnce> bytes;
  std::array<iovec, kAtOnce> parts;
  std::array<mmsghdr, kAtOnce> heads{};
  uint16_t serial = 0;
  const auto ask = [&](size_t count) {
    for (size_t i = 0; i < count; ++i, ++serial) {
      std::memcpy(bytes[i].data(), kQuery, kQuerySize - 1);
      bytes[i][kQuerySize - 1] = 1;
      bytes[i][0] = static_cast<unsigned char>(serial >> 8);
      bytes[i][1] = static_cast<unsigned char>(serial);
      bytes[i][13] = static_cast<unsigned char>('0' + serial % 10);
      parts[i] = {bytes[i].data(), kQuerySize};
      heads[i].msg_hdr.msg_iov = &parts[i];
      heads[i].msg_hdr.msg_iovlen = 1;
    }
    return sendmmsg(fd, heads.data(), static_cast<unsigned>(count), 0) == static_cast<int>(count);
  };
  for (size_t i = 0; i < kInFlight; i += kAtOnce) ask(kAtOnce);
  const double cpu = OthersCpu();
  size_t answers = 0;
  for (auto _ : state) {
    for (size_t i = 0; i < kAtOnce; ++i) parts[i].iov_len = bytes[i].size();
    const int count = recvmmsg(fd, heads.data(), kAtOnce, MSG_WAITFORONE, nullptr);
    if (count <= 0 || bytes[0][3] != 0x80 || !ask(static_cast<size_t>(count))) {
      state.SkipWithError("no answer");
      break;
    }
    answers += static_cast<size_t>(count);
  }
  Finish(state, cpu, answers);
  close(fd);
}

BENCHMARK(DnsOverUdp)->Arg(0)->Arg(1000)->UseRealTime()->MinTime(2);
BENCHMARK(KeepAlive)->UseRealTime()->MinTime(2);
BENCHMARK(ConnectionPerRequest)->UseRealTime()->MinTime(2);

}  // namespace
}  // namespace sonde

BENCHMARK_MAIN();
