// HTTP probes through proxies (blackbox_contract 8.1.1 and 8.1.3; docs/http.md, "Proxies").
//
// A hop takes up to four stages: the target's name is resolved, so that the probe policy judges it
// though we never connect there; the proxy is chosen and connected to; it is asked for a tunnel;
// TLS begins inside.
#include "protocols/http_way.h"

#include "protocols/http_detour.h"
#include "protocols/http_request.h"

namespace sonde {

Leg HttpConversation::Way::Told(const Leg& leg) const {
  Leg told = leg;
  if (stage == Stage::kTarget) return told;
  if (leg.resolve_start.stamped()) told.connect_start = leg.resolve_start;
  told.resolve_start = told.resolve_end = {};
  if (stage == Stage::kProxy) {  // TLS with the proxy is no phase of the target's
    told.tls = nullptr;
    told.tls_start = told.tls_end = {};
  }
  return told;
}

Step HttpConversation::OpenHop(const Url& url, std::string_view server_name, const Address* known) {
  PlanLeg(url, server_name);
  plan_.address = known;
  const ProxyOptions* proxies = module_.proxies.get();
  if (!proxies) return Step::Open(plan_);
  if (!way_) way_ = std::make_unique<Way>();
  way_->stage = Way::Stage::kTarget;
  way_->url = &url;
  way_->server_name = server_name;
  way_->proxy = nullptr;
  way_->other_family = false;
  way_->target = known ? *known : Address{};
  plan_.tls = nullptr;
  plan_.reach = proxies->skip_resolve && !known ? Reach::kName : Reach::kAddress;
  return Step::Open(plan_);
}

const Address* HttpConversation::HopAddress() {
  const Address& known = way_ ? way_->target : times_.peer();
  if (known.family == IpFamily::kNone) return nullptr;
  detour_->address = known;
  detour_->address.port = detour_->url.port;
  return &detour_->address;
}

Step HttpConversation::OnWay(const Leg& leg, Instant at, Output& out) {
  Way& way = *way_;
  switch (way.stage) {
    case Way::Stage::kTarget:
      times_.Opened(leg);
      if (found_ != Outcome::kOk) {
        attempted_ = no_credentials_;
        return Step::Fail(found_);
      }
      if (leg.resolved) way.target = leg.peer;
      return ChooseWay();
    case Way::Stage::kDirect:
      way.target = leg.peer;
      return Ready(way.Told(leg), at, out);
    case Way::Stage::kProxy:
      return OnProxy(leg, at, out);
    default:
      way.connection.tls_start = leg.tls_start;
      way.connection.tls_end = leg.tls_end;
      way.connection.tls = leg.tls;
      return Ready(way.connection, at, out);
  }
}

Step HttpConversation::ChooseWay() {
  Way& way = *way_;
  const ProxyOptions& proxies = *module_.proxies;
  const Address* known = way.target.family == IpFamily::kNone ? nullptr : &way.target;
  way.proxy = proxies.For(*way.url, known);
  PlanLeg(*way.url, way.server_name);
  if (!way.proxy) {
    way.stage = Way::Stage::kDirect;
    plan_.address = known;
    return Step::Open(plan_);
  }
  way.stage = Way::Stage::kProxy;
  plan_.host = way.proxy->host;
  plan_.port = way.proxy->port;
  plan_.scheme = way.proxy->scheme;
  plan_.tls = way.proxy->kind == Proxy::Kind::kHttps ? &proxies.tls : nullptr;
  plan_.server_name = {};
  plan_.network = &proxies.network;
  return Step::Open(plan_);
}

Step HttpConversation::OnProxy(const Leg& leg, Instant at, Output& out) {
  Way& way = *way_;
  if (way.other_family) {  // the first address' failure is none any more
    found_ = Outcome::kOk;
    if (detail_) detail_.Clear();
  }
  way.connection = way.Told(leg);
  if (way.tells_url()) return Arrived(at, out);
  way.stage = Way::Stage::kTunnel;
  state_ = State::kTunnel;
  attempted_ = true;
  const bool known = way.target.family != IpFamily::kNone;
  const std::string host = known ? way.target.Host() : way.url->host;
  if (way.tunnel.Begin(*module_.proxies, *way.proxy, host, way.url->port, out) ==
      ProxyTunnel::State::kFailed) {
    return TunnelFailed(at);
  }
  return Step::More();
}

// A plain request can be written: all it took to get here was connecting.
Step HttpConversation::Arrived(Instant at, Output& out) {
  way_->connection.connected = at;
  return Ready(way_->connection, at, out);
}

Step HttpConversation::OnProxyFailed(const Leg& leg, Outcome outcome, Instant at) {
  Way& way = *way_;
  times_.Failed(way.Told(leg), at);
  ended_at_ = at;
  const Phase phase = Info(outcome).phase;
  const bool ours = phase == Phase::kProber;
  if (!ours) attempted_ = true;
  const std::string_view why = leg.detail.empty() ? Info(outcome).sentence : leg.detail;
  Find(ours ? outcome : Outcome::kConnectProxyUnreachable,
       {"proxy ", way.proxy->authority, ": ", why});
  // Whose name has addresses of both families may listen on one of them only.
  const bool literal = Address::ParseLiteral(way.proxy->host).has_value();
  if (phase == Phase::kConnect && !way.other_family && !literal &&
      leg.peer.family == plan_.network->preferred_family) {
    way.other_family = true;
    plan_.network = &module_.proxies->other_family;
    ended_at_ = {};
    return Step::Open(plan_);
  }
  return Step::Fail(found_);
}

ReadStep HttpConversation::OnTunnel(Bytes in, Instant at, Output& out) {
  Way& way = *way_;
  const size_t used = way.tunnel.Take(in, out);
  if (way.tunnel.state() == ProxyTunnel::State::kAsking) return {used, Step::More()};
  if (way.tunnel.state() == ProxyTunnel::State::kFailed) return {in.size(), TunnelFailed(at)};
  if (!way.url->secure()) return {used, Arrived(at, out)};
  way.stage = Way::Stage::kInner;
  state_ = State::kOpening;
  return {used,
          Step::Secure(module_.tls, way.server_name.empty() ? way.url->host : way.server_name)};
}

Step HttpConversation::TunnelClosed(PeerClose how, Instant at) {
  way_->tunnel.Closed(how);
  return TunnelFailed(at);
}

Outcome HttpConversation::TunnelTimedOut(Instant at) {
  times_.Failed(way_->connection, at);
  Find(Outcome::kConnectProxyTimeout, {"proxy ", way_->proxy->authority, ": it did not answer"});
  return found_;
}

Step HttpConversation::TunnelFailed(Instant at) {
  times_.Failed(way_->connection, at);
  ended_at_ = at;
  Find(way_->tunnel.outcome(), {way_->tunnel.detail()});
  state_ = State::kDone;
  return Step::Fail(found_);
}

// RFC 9112 section 3.2.2, absolute-form; what else the request says stays as it is.
std::string HttpConversation::AbsoluteForm(std::string_view request) const {
  const bool moved = detour_ && detour_->moved;
  const std::string_view host = moved ? detour_->host : HostHeaderOf(module_, target_);
  const size_t target = request.find(' ') + 1;
  const size_t lines = request.find("\r\n") + 2;
  std::string out(request.substr(0, target));
  out.append("http://").append(host).append(request.substr(target, lines - target));
  const std::string_view head = request.substr(lines, request.find("\r\n\r\n") + 2 - lines);
  if (way_->proxy->has_userinfo && !NamesHeader(head, "proxy-authorization")) {
    out.append("Proxy-Authorization: ").append(way_->proxy->Authorization()).append("\r\n");
  }
  return out.append(request.substr(lines));
}

}  // namespace sonde
