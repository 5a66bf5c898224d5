#include "exporter/http_server.h"

#include <unistd.h>

#include <array>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <unordered_map>
#include <utility>

#include "exporter/http_connection.h"
#include "exporter/http_host.h"
#include "exporter/http_listener.h"
#include "exporter/http_metrics.h"
#include "exporter/http_socket.h"
#include "exporter/http_tls.h"
#include "exporter/web_gate.h"

namespace sonde {
namespace {

constexpr std::string_view kBusy =
    "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\n"
    "Content-Length: 21\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n"
    "too many connections\n";

// Clients are told apart by address; of IPv6 only the network counts, whose owner has 2^64 of them.
using ClientKey = std::array<uint8_t, 9>;
ClientKey KeyOf(const Address& address) {
  ClientKey key{};
  key[0] = static_cast<uint8_t>(address.family);
  std::memcpy(key.data() + 1, address.bytes.data(), address.family == IpFamily::kV4 ? 4 : 8);
  return key;
}

std::string MachineName() {
  char name[256] = {};
  return gethostname(name, sizeof name - 1) == 0 ? name : "";
}

}  // namespace

class HttpServer::Impl {
 public:
  Impl(ExporterLoop& loop, Router router, HttpServerOptions options)
      : loop_(loop),
        options_(std::move(options)),
        router_(std::move(router)),
        hosts_({}),
        metrics_(options_.registry),
        gate_([this](absl::AnyInvocable<void()> work, absl::AnyInvocable<void()> done) {
          return loop_.RunInWorker(std::move(work), std::move(done));
        }),
        service_{options_, router_, hosts_, metrics_, gate_} {
    if (!options_.now) options_.now = ExporterLoop::MonotonicNow;
  }

  void SetWeb(std::shared_ptr<const WebConfig> config);
  absl::Status Start(ListenSockets sockets);
  void Stop(Duration grace, absl::AnyInvocable<void()> done);
  void CheckTimeouts();
  const std::vector<Address>& bound() const { return bound_; }
  size_t connections() const { return sessions_.size(); }

 private:
  // A socket, TLS where it is spoken, and the connection over it; forgotten when the socket has
  // closed.
  struct Session final : HttpTransportEvents {
    Session(Impl& server, uv_loop_s* loop) : server_(server), socket(loop) {}
    void OnBytes(std::string_view bytes) override { connection->OnBytes(bytes); }
    void OnEnd() override { connection->OnEnd(); }
    void OnDrained() override { connection->OnDrained(); }
    void OnClosed() override {
      connection->OnClosed();
      server_.Forget(*this);  // destroys this
    }

    Impl& server_;
    HttpSocket socket;
    std::optional<TlsTransport> tls;
    std::unique_ptr<HttpConnection> connection;
    ClientKey client{};
  };

  void OnConnection(uv_stream_s* listener, int status);
  std::optional<HttpRejection> Refuses(const ClientKey& client) const;
  void LogRefusal(const Address& peer);
  void Forget(Session& session);
  void MaybeStopped();

  ExporterLoop& loop_;
  HttpServerOptions options_;
  Router router_;
  HostRule hosts_;
  HttpMetrics metrics_;
  WebGate gate_;
  HttpService service_;
  std::shared_ptr<ssl_ctx_st> tls_;  // of new connections; null: plain HTTP
  std::vector<std::unique_ptr<HttpListener>> listeners_;
  std::vector<Address> bound_;
  std::unordered_map<Session*, std::unique_ptr<Session>> sessions_;
  std::map<ClientKey, size_t> clients_;
  std::unique_ptr<ExporterLoop::Ticker> sweep_;
  Instant refusal_logged_;
  Instant cut_at_;  // end of the grace, while draining
  absl::AnyInvocable<void()> stopped_;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

void HttpServer::Impl::SetWeb(std::shared_ptr<const WebConfig> config) {
  const bool may_change = listeners_.empty() || tls_ != nullptr;
  if (config != nullptr && config->tls != nullptr && may_change) tls_ = config->tls;
  gate_.Set(std::move(config));
}

absl::Status HttpServer::Impl::Start(ListenSockets sockets) {
  for (BoundSocket& socket : sockets.sockets()) {
    auto listener = HttpListener::Open(
        loop_.uv(), std::move(socket),
        [this](uv_stream_s* stream, int status) { OnConnection(stream, status); });
    if (!listener.ok()) {
      listeners_.clear();
      bound_.clear();
      return listener.status();
    }
    bound_.push_back((*listener)->bound());
    listeners_.push_back(*std::move(listener));
  }
  std::vector<std::string> names = options_.allowed_hosts;
  names.push_back(MachineName());
  names.insert(names.end(), sockets.hosts().begin(), sockets.hosts().end());
  hosts_ = HostRule(std::move(names));
  if (options_.sweep_interval.ns > 0) {
    sweep_ = loop_.Every(options_.sweep_interval, [this] { CheckTimeouts(); });
  }
  return absl::OkStatus();
}

std::optional<HttpRejection> HttpServer::Impl::Refuses(const ClientKey& client) const {
  if (sessions_.size() >= options_.max_connections) return HttpRejection::kConnections;
  const auto found = clients_.find(client);
  if (found != clients_.end() && found->second >= options_.max_connections_per_client) {
    return HttpRejection::kClientConnections;
  }
  return std::nullopt;
}

// At most a line every ten seconds; the counter has them all.
void HttpServer::Impl::LogRefusal(const Address& peer) {
  const Instant now = options_.now();
  if (options_.log == nullptr) return;
  if (refusal_logged_.stamped() && now - refusal_logged_ < Seconds(10)) return;
  refusal_logged_ = now;
  options_.log->Log(LogLevel::kWarn, "too many HTTP connections, refusing some",
                    {{"client", peer.Host()}, {"open", std::to_string(sessions_.size())}});
}

void HttpServer::Impl::OnConnection(uv_stream_s* listener, int status) {
  if (status < 0) {
    metrics_.CountRejection(HttpRejection::kAccept);
    return;
  }
  auto session = std::make_unique<Session>(*this, loop_.uv());
  const std::optional<Address> peer = session->socket.Accept(listener);
  if (!peer) {
    metrics_.CountRejection(HttpRejection::kAccept);
    return;
  }
  session->client = KeyOf(*peer);
  if (const auto reason = Refuses(session->client)) {
    metrics_.CountRejection(*reason);
    LogRefusal(*peer);
    if (tls_ == nullptr) session->socket.TryWrite(kBusy);
    return;  // the socket closes itself
  }
  HttpTransport* transport = &session->socket;
  if (tls_ != nullptr) {
    transport = &session->tls.emplace(tls_.get(), session->socket, metrics_);
    session->tls->Start(session.get());
  }
  session->connection = std::make_unique<HttpConnection>(service_, *transport, *peer);
  ++clients_[session->client];
  Session* key = session.get();
  sessions_.emplace(key, std::move(session));
  metrics_.SetConnections(sessions_.size());
  key->socket.Start(key->tls ? static_cast<HttpTransportEvents*>(&*key->tls) : key);
}

void HttpServer::Impl::Forget(Session& session) {
  const auto client = clients_.find(session.client);
  if (client != clients_.end() && --client->second == 0) clients_.erase(client);
  sessions_.erase(&session);
  metrics_.SetConnections(sessions_.size());
  MaybeStopped();
}

// Deliberately simple: looks at every connection. There are at most max_connections.
void HttpServer::Impl::CheckTimeouts() {
  const Instant now = options_.now();
  const bool cut = service_.draining && now >= cut_at_;
  for (auto& [key, session] : sessions_) {
    if (cut) {
      session->connection->Cut(HttpCut::kGrace);
    } else {
      session->connection->CheckTimeouts(now);
    }
  }
}

void HttpServer::Impl::Stop(Duration grace, absl::AnyInvocable<void()> done) {
  listeners_.clear();
  service_.draining = true;
  cut_at_ = options_.now() + grace;
  stopped_ = std::move(done);
  for (auto& [key, session] : sessions_) session->connection->Drain();
  if (grace.ns <= 0) CheckTimeouts();
  // From the loop also when nothing is open, so that the caller sees one order of events.
  const auto deferred = [this, alive = std::weak_ptr<char>(alive_)] {
    if (!alive.expired()) MaybeStopped();
  };
  if (sessions_.empty() && !loop_.Post(deferred)) MaybeStopped();
}

void HttpServer::Impl::MaybeStopped() {
  if (!service_.draining || !sessions_.empty()) return;
  if (auto done = std::exchange(stopped_, nullptr)) done();  // may destroy the server
}

HttpServer::HttpServer(ExporterLoop& loop, Router router, HttpServerOptions options)
    : impl_(std::make_unique<Impl>(loop, std::move(router), std::move(options))) {}
HttpServer::~HttpServer() = default;

void HttpServer::SetWeb(std::shared_ptr<const WebConfig> config) {
  impl_->SetWeb(std::move(config));
}
absl::Status HttpServer::Start(ListenSockets sockets) { return impl_->Start(std::move(sockets)); }
absl::Status HttpServer::Start(const std::vector<std::string>& listen_addresses) {
  auto sockets = ListenSockets::Bind(listen_addresses);
  return sockets.ok() ? Start(*std::move(sockets)) : sockets.status();
}
const std::vector<Address>& HttpServer::bound() const { return impl_->bound(); }
void HttpServer::Stop(Duration grace, absl::AnyInvocable<void()> done) {
  impl_->Stop(grace, std::move(done));
}
void HttpServer::CheckTimeouts() { impl_->CheckTimeouts(); }
size_t HttpServer::connections() const { return impl_->connections(); }

}  // namespace sonde
