// HTTPS exchanges with a bare OpenSSL client: each with a full handshake, or all resumed.
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string_view>
#include <vector>

#include "bench/limits/limits.h"

namespace sonde::limits {
namespace {

constexpr std::string_view kRequest =
    "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: limits\r\nConnection: close\r\n\r\n";
constexpr uint32_t kInterest = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;

class Https {
 public:
  Https(const Options& options, bool resumed)
      : options_(options),
        resumed_(resumed),
        epoll_(epoll_create1(EPOLL_CLOEXEC)),
        context_(SSL_CTX_new(TLS_client_method())),
        pacer_(options, epoll_),
        meter_(options),
        streams_(65536) {
    if (SSL_CTX_load_verify_locations(context_, options.ca.c_str(), nullptr) != 1) {
      Die("--ca: not a PEM file of certificates", 0);
    }
    SSL_CTX_set_verify(context_, SSL_VERIFY_PEER, nullptr);
    SSL_CTX_set_mode(context_, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_app_data(context_, this);
    if (!resumed_) return;
    SSL_CTX_set_session_cache_mode(context_, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(context_, [](SSL* tls, SSL_SESSION* session) {
      auto* self = static_cast<Https*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(tls)));
      SSL_SESSION_free(self->session_);
      self->session_ = session;
      return 1;  // ours now
    });
  }

  ~Https() {
    for (Stream& stream : streams_) SSL_free(stream.tls);
    SSL_SESSION_free(session_);
    SSL_CTX_free(context_);
    close(epoll_);
  }

  void Run(const char* name) {
    epoll_event events[256];
    while (meter_.Going()) {
      // Those that are to be resumed wait for a first ticket.
      if (!resumed_ || session_ != nullptr || busy_ == 0) {
        const int most = resumed_ && session_ == nullptr ? 1 : pacer_.Take(busy_);
        for (int i = 0; i < most; ++i) Open();
      }
      const int count = epoll_wait(epoll_, events, 256, 100);
      for (int i = 0; i < count; ++i) {
        if (events[i].data.fd == pacer_.fd()) {
          pacer_.Tick();
        } else {
          OnReady(events[i].data.fd);
        }
      }
    }
    meter_.Print(name, ", \"resumed\": " + std::to_string(reused_));
  }

 private:
  struct Stream {
    SSL* tls = nullptr;
    bool asked = false;
  };

  void Open() {
    const sockaddr_in to = TargetAddress(options_, next_++);
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return meter_.Failed("socket", errno);
    if (connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0 &&
        errno != EINPROGRESS) {
      meter_.Failed("connect", errno);
      close(fd);
      return;
    }
    epoll_event event{};
    event.events = kInterest;
    event.data.fd = fd;
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) Die("epoll_ctl", errno);
    SSL* tls = SSL_new(context_);
    SSL_set_fd(tls, fd);
    SSL_set_tlsext_host_name(tls, "farm.test");
    SSL_set1_host(tls, "farm.test");
    if (session_ != nullptr) SSL_set_session(tls, session_);
    SSL_set_connect_state(tls);
    streams_[static_cast<size_t>(fd)] = {tls, false};
    ++busy_;
  }

  void Close(int fd) {
    Stream& stream = streams_[static_cast<size_t>(fd)];
    // Or its session could not be used again.
    SSL_set_shutdown(stream.tls, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(stream.tls);
    stream = {};
    if (options_.reset) {
      const linger now{1, 0};
      setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    }
    close(fd);
    --busy_;
  }

  // What OpenSSL has to say of a call that did not succeed.
  void Trouble(int fd, SSL* tls, int result) {
    const int error = SSL_get_error(tls, result);
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) return;
    const unsigned long reason = ERR_peek_last_error();
    meter_.Failed(reason ? ERR_error_string(reason, nullptr) : "TLS", errno);
    ERR_clear_error();
    Close(fd);
  }

  void OnReady(int fd) {
    Stream& stream = streams_[static_cast<size_t>(fd)];
    if (stream.tls == nullptr) return;
    if (!stream.asked) {
      const int result = SSL_do_handshake(stream.tls);
      if (result != 1) return Trouble(fd, stream.tls, result);
      if (SSL_session_reused(stream.tls)) {
        ++reused_;
      } else if (resumed_ && session_ != nullptr) {
        meter_.Failed("the server did not resume a session", 0);
        return Close(fd);
      }
      const int written = SSL_write(stream.tls, kRequest.data(), kRequest.size());
      if (written <= 0) return Trouble(fd, stream.tls, written);
      stream.asked = true;
    }
    const int count = SSL_read(stream.tls, buffer_, sizeof buffer_);
    if (count <= 0) return Trouble(fd, stream.tls, count);
    if (count < 16 || std::memcmp(buffer_ + 9, "200", 3) != 0) {
      meter_.Failed("no HTTP answer of status 200", 0);
    } else {
      meter_.Done();
    }
    Close(fd);
  }

  const Options options_;
  const bool resumed_;
  const int epoll_;
  SSL_CTX* const context_;
  SSL_SESSION* session_ = nullptr;
  Pacer pacer_;
  Meter meter_;
  std::vector<Stream> streams_;  // by descriptor
  int busy_ = 0;
  int64_t reused_ = 0;
  unsigned next_ = 0;
  char buffer_[16384];
};

}  // namespace

void RunHttpsFull(const Options& options) { Https(options, false).Run("https"); }
void RunHttpsResumed(const Options& options) { Https(options, true).Run("https-resumed"); }

}  // namespace sonde::limits
