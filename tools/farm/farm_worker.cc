#include "tools/farm/farm_worker.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>

namespace sonde {
namespace {

using Kind = ListenerConfig::Kind;
using StepKind = FarmStep::Kind;

constexpr uint64_t kAcceptTag = uint64_t{1} << 63;
constexpr uint64_t kDatagramTag = uint64_t{1} << 62;
constexpr uint32_t kGenerations = (1u << 30) - 1;  // below the tags
constexpr uint64_t kWakeTag = ~uint64_t{0};
constexpr size_t kChunk = 64 * 1024;
constexpr int64_t kSweepEvery = 1'000'000'000;
constexpr int64_t kAcceptPause = 50'000'000;
constexpr int kAcceptsPerTurn = 256;

int64_t MonotonicNs() {
  timespec ts{};
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return ts.tv_sec * 1'000'000'000 + ts.tv_nsec;
}

bool IsLoopback(const sockaddr_storage& peer) {
  if (peer.ss_family != AF_INET) return true;
  const auto& v4 = reinterpret_cast<const sockaddr_in&>(peer);
  return (ntohl(v4.sin_addr.s_addr) >> 24) == 127;
}

std::string_view QueryValue(std::string_view path, std::string_view key) {
  for (size_t at = path.find('?'); at != path.npos; at = path.find('&', at + 1)) {
    const std::string_view rest = path.substr(at + 1);
    if (!rest.starts_with(key) || rest.substr(key.size(), 1) != "=") continue;
    const std::string_view value = rest.substr(key.size() + 1);
    return value.substr(0, value.find('&'));
  }
  return {};
}

}  // namespace

struct FarmWorker::Connection {
  int fd = -1;
  uint32_t index = 0, generation = 0;
  uint32_t timer_serial = 0;
  FarmListener* listener = nullptr;
  uint16_t port = 0;
  SSL* ssl = nullptr;
  std::string in;
  FarmSteps steps;
  size_t step_sent = 0;
  int64_t drip_ns = -1;  // >= 0: one byte at a time
  int64_t last_active = 0;
  double unit = 0;       // this connection's draw
  bool waiting = false;  // for its timer
  bool peer_ended = false;
  bool readable = false;
  bool ending = false;    // an end waits behind the last bytes
  bool ignoring = false;  // TCP: the service is over
  bool first_answer = true;
  std::unique_ptr<LineService> service;
};

FarmWorker::FarmWorker(Farm& farm, int index, const FarmConfig& config,
                       const std::vector<std::unique_ptr<FarmListener>>& listeners)
    : farm_(farm),
      seed_(config.seed),
      idle_ns_(config.idle.ns),
      spins_(config.spin),
      random_(Random::Mix(config.seed + static_cast<uint64_t>(index))),
      epoll_(epoll_create1(EPOLL_CLOEXEC)),
      wake_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)),
      filler_(kChunk, 'x'),
      in_(kChunk),
      dns_(config.seed, index, counters_) {
  if (!ok()) return;
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = kWakeTag;
  epoll_ctl(epoll_, EPOLL_CTL_ADD, wake_, &event);
  for (const auto& listener : listeners) {
    if (listener->config.is_passive()) continue;
    for (const FarmSocket& socket : listener->sockets[static_cast<size_t>(index)]) {
      accepting_.push_back({listener.get(), socket});
    }
    for (const FarmSocket& socket : listener->datagrams[static_cast<size_t>(index)]) {
      event.data.u64 = kDatagramTag | dns_.Add(*listener, socket);
      epoll_ctl(epoll_, EPOLL_CTL_ADD, socket.fd, &event);
    }
  }
  ResumeAccepting();
}

FarmWorker::~FarmWorker() {
  for (const auto& connection : connections_) {
    if (connection->fd >= 0) Close(*connection, false, false);
  }
  if (epoll_ >= 0) close(epoll_);
  if (wake_ >= 0) close(wake_);
}

void FarmWorker::Stop() {
  stop_.store(true);
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(wake_, &one, sizeof(one));
}

void FarmWorker::Run() {
  sigset_t pipe;
  sigemptyset(&pipe);
  sigaddset(&pipe, SIGPIPE);  // OpenSSL writes without MSG_NOSIGNAL
  pthread_sigmask(SIG_BLOCK, &pipe, nullptr);
  now_ = MonotonicNs();
  next_sweep_ = now_ + kSweepEvery;
  while (!stop_.load()) {
    Poll(now_);
    now_ = MonotonicNs();
    FireTimers(now_);
    dns_.FireTimers(now_);
    if (resume_accepting_ != 0 && now_ >= resume_accepting_) ResumeAccepting();
    if (now_ >= next_sweep_) SweepIdle(now_);
  }
}

void FarmWorker::Poll(int64_t now) {
  int64_t until = std::min(next_sweep_, dns_.NextWake());
  if (!timers_.empty()) until = std::min(until, timers_.top().at);
  if (resume_accepting_ != 0) until = std::min(until, resume_accepting_);
  const int64_t wait = spins_ ? 0 : std::max<int64_t>(0, until - now);
  const timespec timeout{wait / 1'000'000'000, wait % 1'000'000'000};
  epoll_event events[512];
  int count = epoll_pwait2(epoll_, events, 512, &timeout, nullptr);
  if (count < 0 && errno == ENOSYS) {  // before Linux 5.11
    count = epoll_wait(epoll_, events, 512, static_cast<int>((wait + 999'999) / 1'000'000));
  }
  if (count == 0 && spins_) sched_yield();
  now_ = MonotonicNs();
  for (int i = 0; i < count; ++i) OnEvent(events[i].data.u64, events[i].events);
}

void FarmWorker::OnEvent(uint64_t tag, uint32_t events) {
  if (tag == kWakeTag) return;  // stop_ tells the rest
  if (tag & kAcceptTag) {
    Accept(accepting_[static_cast<size_t>(tag & ~kAcceptTag)]);
    return;
  }
  if (tag & kDatagramTag) {
    dns_.OnReadable(static_cast<size_t>(tag & ~kDatagramTag), now_);
    return;
  }
  Connection& c = *connections_[static_cast<size_t>(tag & 0xFFFFFFFF)];
  if (c.fd < 0 || c.generation != static_cast<uint32_t>(tag >> 32)) return;
  c.last_active = now_;
  const uint32_t generation = c.generation;
  if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
    c.readable = true;
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) c.ending = true;
    Receive(c);
  }
  // A write that met a full socket goes on; the connection may be gone by now.
  if (c.fd >= 0 && c.generation == generation && (events & EPOLLOUT)) Advance(c);
}

void FarmWorker::Accept(Accepting& from) {
  for (int i = 0; i < kAcceptsPerTurn; ++i) {
    sockaddr_storage peer;
    socklen_t size = sizeof(peer);
    const int fd = accept4(from.socket.fd, reinterpret_cast<sockaddr*>(&peer), &size,
                           SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
      if (errno == EAGAIN) return;
      if (errno == ECONNABORTED || errno == EINTR) continue;
      FarmCounters::Add(counters_.accept_errors);
      PauseAccepting();
      return;
    }
    FarmCounters::Add(counters_.accepted);
    if (from.listener->config.address == "loopback" && !IsLoopback(peer)) {
      FarmCounters::Add(counters_.foreign);
      FarmCounters::Add(counters_.closed);
      close(fd);
      continue;
    }
    Connection& c = Take(fd, *from.listener, from.socket.port);
    epoll_event event{};
    event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
    event.data.u64 = uint64_t{c.generation} << 32 | c.index;
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) {
      Close(c, false, false);
      continue;
    }
    Open(c, ConnectionUnit(fd, *from.listener, c.port));
  }
}

// Out of descriptors: a level-triggered listener would spin.
void FarmWorker::PauseAccepting() {
  for (const Accepting& from : accepting_) {
    epoll_ctl(epoll_, EPOLL_CTL_DEL, from.socket.fd, nullptr);
  }
  resume_accepting_ = now_ + kAcceptPause;
}

void FarmWorker::ResumeAccepting() {
  resume_accepting_ = 0;
  for (size_t i = 0; i < accepting_.size(); ++i) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = kAcceptTag | i;
    epoll_ctl(epoll_, EPOLL_CTL_ADD, accepting_[i].socket.fd, &event);
  }
}

FarmWorker::Connection& FarmWorker::Take(int fd, FarmListener& listener, uint16_t port) {
  if (free_.empty()) {
    free_.push_back(static_cast<uint32_t>(connections_.size()));
    connections_.push_back(std::make_unique<Connection>());
    connections_.back()->index = free_.back();
  }
  Connection& c = *connections_[free_.back()];
  free_.pop_back();
  c.fd = fd;
  c.listener = &listener;
  c.port = port;
  c.step_sent = 0;
  c.drip_ns = -1;
  c.last_active = now_;
  c.waiting = c.peer_ended = c.readable = c.ending = c.ignoring = false;
  c.first_answer = true;
  return c;
}

// A connection's own draw.
double FarmWorker::ConnectionUnit(int fd, const FarmListener& listener, uint16_t port) {
  if (listener.config.mix.per != Mix::Per::kTarget) return random_.Unit();
  sockaddr_storage local{};
  socklen_t size = sizeof(local);
  getsockname(fd, reinterpret_cast<sockaddr*>(&local), &size);
  const bool v4 = local.ss_family == AF_INET;
  return TargetUnit(seed_, port,
                    v4 ? reinterpret_cast<const sockaddr_in&>(local).sin_addr.s_addr : 0);
}

void FarmWorker::Open(Connection& c, double unit) {
  c.unit = unit;
  const ListenerConfig& config = c.listener->config;
  const int forced = c.listener->override_behaviour.load(std::memory_order_relaxed);
  const Behaviour behaviour =
      forced == FarmListener::kNoOverride ? config.mix.At(unit) : static_cast<Behaviour>(forced);
  if (behaviour == Behaviour::kRefuse) {
    FarmCounters::Add(counters_.shown[static_cast<size_t>(behaviour)]);
    Close(c, true, false);
    return;
  }
  if (config.has_tls()) {
    c.ssl = SSL_new(c.listener->tls.get());
    SSL_set_fd(c.ssl, c.fd);
    SSL_set_accept_state(c.ssl);
  }
  if (config.kind != Kind::kTcp) return;

  FarmCounters::Add(counters_.shown[static_cast<size_t>(behaviour)]);
  c.service = LineService::Make(config);
  c.ignoring = true;
  switch (behaviour) {
    case Behaviour::kReset:
      c.steps.Add(StepKind::kReset);
      break;
    case Behaviour::kClosed:
      c.steps.Add(StepKind::kClose);
      break;
    case Behaviour::kSilent:
      c.steps.Add(StepKind::kHold);
      break;
    case Behaviour::kError:
      c.steps.SendOwned(std::string(c.service->ErrorText()));
      c.steps.Add(StepKind::kClose);
      break;
    case Behaviour::kGarbage: {
      std::string noise(256, '\0');
      for (char& byte : noise) byte = static_cast<char>(random_.Next());
      c.steps.SendOwned(std::move(noise));
      c.steps.Add(StepKind::kClose);
      break;
    }
    case Behaviour::kDrip:
      c.steps.Drip(config.pace);
      [[fallthrough]];
    default:
      c.ignoring = false;
      c.service->Open(c.steps, random_);
  }
  Advance(c);
}

void FarmWorker::Receive(Connection& c) {
  const uint32_t generation = c.generation;
  while (c.fd >= 0 && c.generation == generation && c.readable) {
    ssize_t size = 0;
    if (c.ssl != nullptr) {
      ERR_clear_error();
      size = SSL_read(c.ssl, in_.data(), static_cast<int>(in_.size()));
      if (size <= 0) {
        const int error = SSL_get_error(c.ssl, static_cast<int>(size));
        c.readable = false;
        if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) break;
        size = error == SSL_ERROR_ZERO_RETURN ? 0 : -1;
        errno = ECONNRESET;
      }
    } else {
      size = recv(c.fd, in_.data(), in_.size(), 0);
      if (size < 0 && errno == EAGAIN) {
        c.readable = false;
        break;
      }
      // Less than asked for: empty, and the next bytes are the next edge.
      const bool is_short = size > 0 && static_cast<size_t>(size) < in_.size();
      if (is_short && !c.ending) c.readable = false;
    }
    if (size < 0) {
      Close(c, false, false);
      return;
    }
    if (size == 0) {
      c.peer_ended = true;
      c.readable = false;
      break;
    }
    FarmCounters::Add(counters_.bytes_in, static_cast<uint64_t>(size));
    if (c.ignoring) continue;
    c.in.append(in_.data(), static_cast<size_t>(size));
    if (c.in.size() > kFarmHeadLimit + kFarmBodyLimit) {  // more than any answer waits for
      Close(c, true, false);
      return;
    }
  }
  if (c.fd >= 0 && c.generation == generation && Plan(c)) Advance(c);
}

// Plans the next answer when there is something to answer. False: nothing to do, or gone.
bool FarmWorker::Plan(Connection& c) {
  // One answer at a time: what came early waits in `in`.
  if (c.steps.empty() && !c.in.empty() && !c.ignoring) {
    if (c.listener->config.kind == Kind::kTcp) {
      PlanLines(c);
    } else if (c.listener->config.is_dns()) {
      PlanDns(c);
    } else {
      PlanHttp(c);
    }
    if (!c.steps.empty()) return true;
  }
  const FarmStep* step = c.steps.current();
  const bool answering = step != nullptr && step->kind != StepKind::kHold;
  if (c.peer_ended && !answering) Close(c, false, true);
  return false;
}

Behaviour FarmWorker::Choose(Connection& c) {
  const int forced = c.listener->override_behaviour.load(std::memory_order_relaxed);
  if (forced != FarmListener::kNoOverride) return static_cast<Behaviour>(forced);
  const Mix& mix = c.listener->config.mix;
  if (mix.shares.empty()) return Behaviour::kOk;
  // The connection's own draw decides its first answer, so that shares hold with and without
  // keep-alive.
  const bool fresh = mix.per == Mix::Per::kRequest && !c.first_answer;
  return mix.At(fresh ? random_.Unit() : c.unit);
}

void FarmWorker::PlanHttp(Connection& c) {
  FarmRequest request;
  const FarmParse parsed = ParseFarmRequest(c.in, &request);
  if (parsed == FarmParse::kMore || (parsed == FarmParse::kGood && c.in.size() < request.size)) {
    return;
  }
  if (parsed == FarmParse::kBad) {
    FarmCounters::Add(counters_.bad_requests);
    c.in.clear();
    c.ignoring = true;
    c.steps.SendOwned(FarmHttpTarget::Render(400, "text/plain", "not a request\n", false));
    c.steps.Add(StepKind::kClose);
    return;
  }
  FarmCounters::Add(counters_.answers);
  if (c.listener->config.kind == Kind::kControl) {
    AnswerControl(c, request);
  } else {
    const Behaviour behaviour = c.listener->http.Answer(Choose(c), request, random_, c.steps);
    FarmCounters::Add(counters_.shown[static_cast<size_t>(behaviour)]);
  }
  c.first_answer = false;
  c.in.erase(0, request.size);
}

// RFC 1035 section 4.2.2: two bytes of length before each message.
void FarmWorker::PlanDns(Connection& c) {
  const auto* const bytes = reinterpret_cast<const uint8_t*>(c.in.data());
  if (c.in.size() < 2) return;
  const size_t size = size_t{bytes[0]} << 8 | bytes[1];
  if (c.in.size() < 2 + size) return;
  const Behaviour shown =
      c.listener->dns.AnswerStream({bytes + 2, size}, Choose(c), random_, c.steps);
  FarmCounters::Add(counters_.answers);
  FarmCounters::Add(counters_.shown[static_cast<size_t>(shown)]);
  c.first_answer = false;
  c.in.erase(0, 2 + size);
}

void FarmWorker::AnswerControl(Connection& c, const FarmRequest& request) {
  const std::string_view page = request.path.substr(0, request.path.find('?'));
  int status = 200;
  std::string type = "text/plain", body;
  if (page == "/farm-stats") {
    type = "application/json";
    body = farm_.StatsJson();
  } else if (page == "/farm-set") {
    const std::string_view word = QueryValue(request.path, "behaviour");
    const auto behaviour = FindBehaviour(word);
    const int port = std::atoi(std::string(QueryValue(request.path, "port")).c_str());
    const bool good = (behaviour || word == "mix") && port > 0 && port < 65536 &&
                      farm_.Override(static_cast<uint16_t>(port), behaviour);
    status = good ? 200 : 400;
    body = good ? "done\n" : "wanted: ?port=PORT&behaviour=NAME (or mix), of a listener here\n";
  } else {
    status = 404;
    body = "/farm-stats, /farm-set?port=PORT&behaviour=NAME\n";
  }
  c.steps.SendOwned(FarmHttpTarget::Render(status, type, body, request.keep_alive));
  c.steps.Add(request.keep_alive ? StepKind::kNext : StepKind::kClose);
}

void FarmWorker::PlanLines(Connection& c) {
  const size_t taken = c.service->Take(c.in, c.steps, random_);
  c.in.erase(0, taken);
  FarmCounters::Add(counters_.answers);
}

// Carries out what is planned, and plans what comes after, until the peer or the clock must act.
void FarmWorker::Advance(Connection& c) {
  const uint32_t generation = c.generation;
  do {
    while (FarmStep* step = c.steps.current()) {
      if (c.waiting || !Carry(c, *step)) return;
      c.step_sent = 0;
      c.steps.Advance();
    }
    if (c.listener->config.kind != Kind::kTcp) c.drip_ns = -1;
  } while (Plan(c) && c.generation == generation);
}

bool FarmWorker::Carry(Connection& c, FarmStep& step) {
  switch (step.kind) {
    case StepKind::kSend:
      return SendSome(c, step.text(), step.text().size());
    case StepKind::kFill:
      return SendSome(c, std::string_view(filler_.data(), filler_.size()),
                      static_cast<size_t>(step.amount));
    case StepKind::kWait:
      if (step.amount == 0) return true;  // waited
      Arm(c, step.amount);
      step.amount = 0;
      return false;
    case StepKind::kDrip:
      c.drip_ns = step.amount;
      return true;
    case StepKind::kNext:
      return true;
    case StepKind::kShutdown:
      if (c.ssl != nullptr) {
        SSL_shutdown(c.ssl);
      } else {
        shutdown(c.fd, SHUT_WR);
      }
      return true;
    case StepKind::kClose:
      Close(c, false, true);
      return false;
    case StepKind::kCut:
      Close(c, false, false);
      return false;
    case StepKind::kReset:
      Close(c, true, false);
      return false;
    case StepKind::kHold:
      c.ignoring = true;
      c.in.clear();
      if (c.peer_ended) Close(c, false, true);
      return false;
    case StepKind::kSecure:
      c.ssl = SSL_new(c.listener->tls.get());
      SSL_set_fd(c.ssl, c.fd);
      SSL_set_accept_state(c.ssl);
      c.in.clear();  // RFC 3207 section 4.2: nothing said before counts
      c.readable = true;
      return true;
  }
  return true;
}

// Sends towards `total` bytes, repeating `bytes` as a pattern when it is shorter. True when all are
// sent.
bool FarmWorker::SendSome(Connection& c, std::string_view bytes, size_t total) {
  while (c.step_sent < total) {
    const std::string_view rest = bytes.substr(bytes.size() == total ? c.step_sent : 0);
    const size_t count = c.drip_ns >= 0 ? 1 : std::min(rest.size(), total - c.step_sent);
    ssize_t sent = 0;
    if (c.ssl != nullptr) {
      ERR_clear_error();
      sent = SSL_write(c.ssl, rest.data(), static_cast<int>(count));
      if (sent <= 0) {
        const int error = SSL_get_error(c.ssl, static_cast<int>(sent));
        errno = error == SSL_ERROR_WANT_WRITE || error == SSL_ERROR_WANT_READ ? EAGAIN : EPIPE;
        sent = -1;
      }
    } else {
      sent = send(c.fd, rest.data(), count, MSG_NOSIGNAL);
    }
    if (sent < 0) {
      if (errno != EAGAIN) Close(c, false, false);
      return false;
    }
    c.step_sent += static_cast<size_t>(sent);
    FarmCounters::Add(counters_.bytes_out, static_cast<uint64_t>(sent));
    if (c.drip_ns > 0 && c.step_sent < total) {
      Arm(c, c.drip_ns);
      return false;
    }
  }
  return true;
}

void FarmWorker::Arm(Connection& c, int64_t delay_ns) {
  c.waiting = true;
  timers_.push({MonotonicNs() + delay_ns, c.index, c.generation, ++c.timer_serial});
}

void FarmWorker::FireTimers(int64_t now) {
  while (!timers_.empty() && timers_.top().at <= now) {
    const Timer timer = timers_.top();
    timers_.pop();
    Connection& c = *connections_[timer.index];
    if (c.fd < 0 || c.generation != timer.generation || c.timer_serial != timer.serial) continue;
    c.waiting = false;
    c.last_active = now;
    Advance(c);
  }
}

void FarmWorker::SweepIdle(int64_t now) {
  next_sweep_ = now + kSweepEvery;
  for (const auto& connection : connections_) {
    if (connection->fd < 0 || connection->waiting) continue;
    if (now - connection->last_active < idle_ns_) continue;
    FarmCounters::Add(counters_.idle_closed);
    Close(*connection, false, true);
  }
}

void FarmWorker::Close(Connection& c, bool reset, bool orderly) {
  if (c.ssl != nullptr) {
    ERR_clear_error();
    if (orderly && SSL_is_init_finished(c.ssl)) SSL_shutdown(c.ssl);
    SSL_free(c.ssl);
    c.ssl = nullptr;
    ERR_clear_error();
  }
  if (reset) {
    const linger now{1, 0};
    setsockopt(c.fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
  }
  close(c.fd);
  c.fd = -1;
  c.generation = (c.generation + 1) & kGenerations;
  c.in.clear();
  if (c.in.capacity() > kChunk) c.in.shrink_to_fit();
  c.steps.Clear();
  c.service.reset();
  free_.push_back(c.index);
  FarmCounters::Add(counters_.closed);
}

}  // namespace sonde
