#include "protocols/proxy_tunnel.h"

#include <algorithm>

#include "protocols/dialogue.h"
#include "protocols/http_request.h"

namespace sonde {
namespace {

constexpr size_t kMaxReason = 200;  // of a status line, kept for the detail

// RFC 1928.
constexpr uint8_t kSocks = 5, kLoginVersion = 1;
constexpr uint8_t kNoLogin = 0, kPassword = 2, kNoMethod = 0xff;
constexpr uint8_t kConnect = 1;
constexpr uint8_t kIpv4 = 1, kName = 3, kIpv6 = 4;
constexpr size_t kMaxName = 255;

// RFC 1928 section 6, REP. What the proxy says of the target has the words of our own connections.
struct SocksReply {
  Outcome outcome;
  std::string_view words;
};
constexpr SocksReply kReplies[] = {
    {Outcome::kOk, "succeeded"},
    {Outcome::kConnectProxyRefused, "general failure"},
    {Outcome::kConnectProxyRefused, "not allowed by its rules"},
    {Outcome::kConnectNetworkUnreachable, "network unreachable"},
    {Outcome::kConnectHostUnreachable, "host unreachable"},
    {Outcome::kConnectRefused, "connection refused"},
    {Outcome::kConnectTtlExceeded, "TTL expired"},
    {Outcome::kConnectProxyRefused, "command not supported"},
    {Outcome::kConnectProxyRefused, "address type not supported"},
};

void AppendByte(std::string* out, size_t value) {
  out->push_back(static_cast<char>(static_cast<uint8_t>(value)));
}

void AppendCounted(std::string* out, std::string_view text) {
  AppendByte(out, text.size());
  out->append(text);
}

}  // namespace

bool NamesHeader(std::string_view lines, std::string_view name) {
  for (size_t at = 0; at < lines.size(); at = lines.find("\r\n", at) + 2) {
    if (EqualsIgnoreCase(lines.substr(at, lines.find(':', at) - at), name)) return true;
  }
  return false;
}

// ---- CONNECT ------------------------------------------------------------------------------------

struct ProxyTunnel::Parsing {
  static int OnReason(llhttp_t* parser, const char* at, size_t size) {
    std::string& reason = static_cast<ProxyTunnel*>(parser->data)->reason_;
    reason.append(at, std::min(size, kMaxReason - std::min(kMaxReason, reason.size())));
    return 0;
  }
  static int OnHeadEnd(llhttp_t*) { return HPE_PAUSED; }

  static llhttp_settings_t Settings() {
    llhttp_settings_t settings;
    llhttp_settings_init(&settings);
    settings.on_status = OnReason;
    settings.on_headers_complete = OnHeadEnd;
    return settings;
  }
  static const llhttp_settings_t kSettings;
};

const llhttp_settings_t ProxyTunnel::Parsing::kSettings = Settings();

ProxyTunnel::State ProxyTunnel::Begin(const ProxyOptions& options, const Proxy& proxy,
                                      std::string_view host, uint16_t port, Output& out) {
  *this = ProxyTunnel();
  proxy_ = &proxy;
  host_ = std::string(host);
  port_ = port;
  if (proxy.kind == Proxy::Kind::kSocks5) {
    Greet(out);
  } else {
    Ask(options, out);
  }
  return state_;
}

// RFC 9110 section 9.3.6: what the framing of an answer to CONNECT says is ignored.
void ProxyTunnel::BeginHead() {
  llhttp_init(&parser_, HTTP_RESPONSE, &Parsing::kSettings);
  llhttp_set_lenient_chunked_length(&parser_, 1);
  parser_.data = this;
}

void ProxyTunnel::Ask(const ProxyOptions& options, Output& out) {
  BeginHead();
  const bool v6 = host_.find(':') != std::string::npos;
  const std::string target = (v6 ? "[" + host_ + "]" : host_) + ":" + std::to_string(port_);
  std::string request = "CONNECT " + target + " HTTP/1.1\r\nHost: " + target + "\r\n";
  const std::string_view lines = options.connect_headers;
  if (!NamesHeader(lines, "user-agent")) {
    request.append("User-Agent: ").append(HttpUserAgent()).append("\r\n");
  }
  request += lines;
  if (proxy_->has_userinfo && !NamesHeader(lines, "proxy-authorization")) {
    request += "Proxy-Authorization: " + proxy_->Authorization() + "\r\n";
  }
  out.Append(request + "\r\n");
}

size_t ProxyTunnel::Take(Bytes in, Output& out) {
  if (state_ != State::kAsking || in.empty()) return 0;
  switch (expected_) {
    case Expected::kHead:
      return TakeHead(in);
    case Expected::kMethod:
      return TakeMethod(in, out);
    case Expected::kLogin:
      return TakeLogin(in, out);
    default:
      return TakeReply(in);
  }
}

size_t ProxyTunnel::TakeHead(Bytes in) {
  const Bytes given = in.first(std::min(in.size(), kMaxHead - head_bytes_));
  const std::string_view text = AsText(given);
  const llhttp_errno_t error = llhttp_execute(&parser_, text.data(), text.size());
  if (error == HPE_OK) {
    head_bytes_ += given.size();
    if (head_bytes_ < kMaxHead) return given.size();
    return Fail(Outcome::kConnectProxyAnswer, "its answer to CONNECT exceeds 16 KiB");
  }
  if (error != HPE_PAUSED) {
    return Fail(Outcome::kConnectProxyAnswer,
                std::string("it does not speak HTTP: ") + llhttp_get_error_reason(&parser_));
  }
  const auto used = static_cast<size_t>(llhttp_get_error_pos(&parser_) - text.data());
  head_bytes_ += used;
  EndHead();
  return used;
}

// Any 2xx opens the tunnel, and whatever its framing says, no body follows.
void ProxyTunnel::EndHead() {
  const unsigned status = parser_.status_code;
  if (parser_.http_major != 1 || status < 100 || status == 101) {
    Fail(Outcome::kConnectProxyAnswer, "its answer to CONNECT is none of HTTP/1.x");
  } else if (status < 200) {
    BeginHead();
    reason_.clear();
  } else if (status < 300) {
    state_ = State::kOpen;
  } else {
    const bool login = status == 407 || status == 401;  // some say the latter to a wrong one
    Fail(login ? Outcome::kConnectProxyAuth : Outcome::kConnectProxyRefused,
         "it answered " + std::to_string(status) + " " + QuotedForPeople(reason_));
  }
}

// ---- SOCKS5 -------------------------------------------------------------------------------------

// RFC 1928 section 3.
void ProxyTunnel::Greet(Output& out) {
  if (host_.size() > kMaxName) {
    Fail(Outcome::kValidationTarget, "SOCKS5 takes names of 255 bytes at most");
    return;
  }
  expected_ = Expected::kMethod;
  const uint8_t one[] = {kSocks, 1, kNoLogin};
  const uint8_t two[] = {kSocks, 2, kNoLogin, kPassword};
  out.Append(proxy_->has_userinfo ? Bytes(two) : Bytes(one));
}

size_t ProxyTunnel::TakeMethod(Bytes in, Output& out) {
  if (in[0] != kSocks) return Fail(Outcome::kConnectProxyAnswer, "it does not speak SOCKS5");
  if (in.size() < 2) return 0;
  const uint8_t method = in[1];
  if (method == kNoLogin) {
    Request(out);
  } else if (method == kPassword && proxy_->has_userinfo) {
    expected_ = Expected::kLogin;
    std::string login;  // RFC 1929 section 2
    AppendByte(&login, kLoginVersion);
    AppendCounted(&login, proxy_->username);
    AppendCounted(&login, proxy_->password);
    out.Append(login);
  } else if (method == kNoMethod) {
    return Fail(Outcome::kConnectProxyAuth, proxy_->has_userinfo
                                                ? "it takes neither a password nor no login"
                                                : "it wants a login");
  } else {
    return Fail(Outcome::kConnectProxyAnswer, "it chose a login that was not offered");
  }
  return 2;
}

size_t ProxyTunnel::TakeLogin(Bytes in, Output& out) {
  if (in[0] != kLoginVersion) {
    return Fail(Outcome::kConnectProxyAnswer, "its answer to the login is of another version");
  }
  if (in.size() < 2) return 0;
  if (in[1] != 0) return Fail(Outcome::kConnectProxyAuth, "it refused user name and password");
  Request(out);
  return 2;
}

// RFC 1928 section 4.
void ProxyTunnel::Request(Output& out) {
  expected_ = Expected::kReply;
  std::string request;
  for (const uint8_t byte : {kSocks, kConnect, uint8_t{0}}) AppendByte(&request, byte);
  if (const auto address = Address::ParseLiteral(host_)) {
    const bool v4 = address->family == IpFamily::kV4;
    AppendByte(&request, v4 ? kIpv4 : kIpv6);
    request.append(AsText(Bytes(address->bytes).first(v4 ? 4 : 16)));
  } else {
    AppendByte(&request, kName);
    AppendCounted(&request, host_);
  }
  AppendByte(&request, size_t{port_} >> 8);
  AppendByte(&request, port_);
  out.Append(request);
}

// RFC 1928 section 6. The address it is bound to says nothing to us, but it has a length.
size_t ProxyTunnel::TakeReply(Bytes in) {
  if (in[0] != kSocks) return Fail(Outcome::kConnectProxyAnswer, "its reply is of another version");
  if (in.size() < 2) return 0;
  const uint8_t reply = in[1];
  if (reply >= std::size(kReplies)) {
    return Fail(Outcome::kConnectProxyAnswer,
                "its reply " + std::to_string(reply) + " means nothing");
  }
  if (reply != 0) {
    return Fail(kReplies[reply].outcome, "it replied '" + std::string(kReplies[reply].words) + "'");
  }
  if (in.size() < 5) return 0;
  const uint8_t kind = in[3];
  if (kind != kIpv4 && kind != kIpv6 && kind != kName) {
    return Fail(Outcome::kConnectProxyAnswer, "its reply has an address of no known type");
  }
  const size_t address = kind == kIpv4 ? 4 : kind == kIpv6 ? 16 : size_t{in[4]} + 1;
  const size_t size = 4 + address + 2;
  if (in.size() < size) return 0;
  state_ = State::kOpen;
  return size;
}

// ---- the end ------------------------------------------------------------------------------------

void ProxyTunnel::Closed(PeerClose how) {
  Fail(Outcome::kConnectProxyClosed,
       how == PeerClose::kReset ? "it reset the connection" : "it closed the connection");
}

size_t ProxyTunnel::Fail(Outcome outcome, std::string_view words) {
  state_ = State::kFailed;
  outcome_ = outcome;
  detail_ = "proxy " + proxy_->authority + ": " + std::string(words);
  return 0;
}

}  // namespace sonde
