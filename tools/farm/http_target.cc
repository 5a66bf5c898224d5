#include "tools/farm/http_target.h"

#include <strings.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "engine/contract/duration_text.h"

namespace sonde {
namespace {

std::string_view Phrase(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 204:
      return "No Content";
    case 301:
      return "Moved Permanently";
    case 302:
      return "Found";
    case 304:
      return "Not Modified";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 500:
      return "Internal Server Error";
    case 503:
      return "Service Unavailable";
    default:
      return "Status";
  }
}

std::string StatusLine(int status) {
  return "HTTP/1.1 " + std::to_string(status) + " " + std::string(Phrase(status)) + "\r\n";
}

std::string LengthLine(size_t size) { return "Content-Length: " + std::to_string(size) + "\r\n"; }

bool SameWord(std::string_view a, std::string_view b) {
  return a.size() == b.size() && strncasecmp(a.data(), b.data(), a.size()) == 0;
}

std::string_view Trimmed(std::string_view text) {
  while (text.starts_with(' ') || text.starts_with('\t')) text.remove_prefix(1);
  while (text.ends_with(' ') || text.ends_with('\t')) text.remove_suffix(1);
  return text;
}

template <typename Number>
std::optional<Number> ParseNumber(std::string_view text) {
  Number value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// An answer to HEAD ends with its headers (RFC 9110 section 9.3.2).
std::string_view ForMethod(const FarmRequest& request, std::string_view answer) {
  return request.method == "HEAD" ? answer.substr(0, answer.find("\r\n\r\n") + 4) : answer;
}

// One header line; false when it makes the request unreadable.
bool ReadHeader(std::string_view line, FarmRequest* request) {
  const size_t colon = line.find(':');
  if (colon == line.npos || colon == 0) return false;
  const std::string_view name = line.substr(0, colon);
  const std::string_view value = Trimmed(line.substr(colon + 1));
  if (SameWord(name, "connection")) {
    if (SameWord(value, "close")) request->keep_alive = false;
    if (SameWord(value, "keep-alive")) request->keep_alive = true;
  } else if (SameWord(name, "content-length")) {
    const auto size = ParseNumber<size_t>(value);
    if (!size || *size > kFarmBodyLimit) return false;
    request->body_size = *size;
  } else if (SameWord(name, "transfer-encoding")) {
    return false;
  }
  return true;
}

}  // namespace

FarmParse ParseFarmRequest(std::string_view in, FarmRequest* request) {
  const size_t end = in.find("\r\n\r\n");
  if (end == in.npos) return in.size() > kFarmHeadLimit ? FarmParse::kBad : FarmParse::kMore;
  *request = {};
  request->head = in.substr(0, end + 2);
  size_t line_end = in.find("\r\n");
  const std::string_view first = in.substr(0, line_end);
  const size_t space = first.find(' ');
  const size_t second = space == first.npos ? first.npos : first.find(' ', space + 1);
  if (second == first.npos || !first.substr(second + 1).starts_with("HTTP/1.")) {
    return FarmParse::kBad;
  }
  request->method = first.substr(0, space);
  request->path = first.substr(space + 1, second - space - 1);
  request->keep_alive = first.ends_with('1');
  while (line_end < end) {
    const size_t start = line_end + 2;
    line_end = in.find("\r\n", start);
    if (!ReadHeader(in.substr(start, line_end - start), request)) return FarmParse::kBad;
  }
  request->size = end + 4 + request->body_size;
  return FarmParse::kGood;
}

std::string FarmHttpTarget::Render(int status, std::string_view content_type, std::string_view body,
                                   bool keep_alive) {
  std::string text = StatusLine(status);
  text += "Content-Type: " + std::string(content_type) + "\r\n" + LengthLine(body.size());
  if (!keep_alive) text += "Connection: close\r\n";
  text += "\r\n";
  text += body;
  return text;
}

FarmHttpTarget::FarmHttpTarget(const ListenerConfig& config) : config_(config) {
  head_ = StatusLine(config.status);
  for (const auto& [name, value] : config.headers) head_ += name + ": " + value + "\r\n";
  keep_ = head_ + LengthLine(config.body.size()) + "\r\n";
  keep_head_ = keep_.size();
  keep_ += config.body;
  close_ = head_ + "Connection: close\r\n" + LengthLine(config.body.size()) + "\r\n";
  close_head_ = close_.size();
  close_ += config.body;
  error_keep_ = Render(500, "text/plain", "simulated failure\n", true);
  error_close_ = Render(500, "text/plain", "simulated failure\n", false);
  redirect_ = StatusLine(302) + "Location: " + config.location + "\r\n" + LengthLine(0) + "\r\n";
  huge_ = head_;
  for (int i = 0; i < 1024; ++i) {
    huge_ += "X-Filler-" + std::to_string(i) + ": " + std::string(240, 'x') + "\r\n";
  }
  huge_ += LengthLine(0) + "\r\n";
}

void FarmHttpTarget::SendOk(const FarmRequest& request, FarmSteps& steps) const {
  const std::string_view whole = request.keep_alive ? keep_ : close_;
  const size_t head = request.keep_alive ? keep_head_ : close_head_;
  steps.Send(request.method == "HEAD" ? whole.substr(0, head) : whole);
}

void FarmHttpTarget::Plan(Behaviour behaviour, const FarmRequest& request, Random& random,
                          FarmSteps& steps) const {
  using Kind = FarmStep::Kind;
  const std::string_view body = config_.body;
  const std::string_view whole = keep_;
  const std::string_view head = whole.substr(0, keep_head_);
  const size_t half = body.size() / 2;
  switch (behaviour) {
    case Behaviour::kError:
      steps.Send(ForMethod(request, request.keep_alive ? error_keep_ : error_close_));
      break;
    case Behaviour::kRefuse:
    case Behaviour::kReset:
      steps.Add(Kind::kReset);
      return;
    case Behaviour::kSilent:
      steps.Add(Kind::kHold);
      return;
    case Behaviour::kClosed:
      steps.Add(Kind::kClose);
      return;
    case Behaviour::kGarbage: {
      std::string noise(256, '\0');
      for (char& c : noise) c = static_cast<char>(random.Next());
      noise[0] = '\x01';  // never by chance the beginning of an answer
      steps.SendOwned(std::move(noise));
      steps.Add(Kind::kCut);
      return;
    }
    case Behaviour::kTruncated:
      steps.Send(head);
      steps.Send(body.substr(0, half));
      steps.Add(Kind::kCut);
      return;
    case Behaviour::kResetBody:
      steps.Send(head);
      steps.Send(body.substr(0, half));
      steps.Wait(Milliseconds(20));  // the bytes arrive before the reset discards them
      steps.Add(Kind::kReset);
      return;
    case Behaviour::kStall:
      steps.Send(head);
      steps.Send(body.substr(0, half));
      steps.Add(Kind::kHold);
      return;
    case Behaviour::kStallHeaders:
      steps.Send(head.substr(0, head.size() / 2));
      steps.Add(Kind::kHold);
      return;
    case Behaviour::kHalfClose:
      steps.SendOwned(head_ + "\r\n");
      steps.Send(body);
      steps.Add(Kind::kShutdown);
      steps.Add(Kind::kHold);
      return;
    case Behaviour::kChunked: {
      std::string chunks = head_ + "Transfer-Encoding: chunked\r\n\r\n";
      const size_t piece = std::max<size_t>(1, body.size() / 3);
      for (size_t at = 0; at < body.size(); at += piece) {
        const std::string_view part = body.substr(at, piece);
        char size[20];
        const auto end = std::to_chars(size, size + sizeof(size), part.size(), 16).ptr;
        chunks.append(size, end).append("\r\n").append(part).append("\r\n");
      }
      steps.SendOwned(std::string(ForMethod(request, chunks + "0\r\n\r\n")));
      break;
    }
    case Behaviour::kRedirect:
      steps.Send(redirect_);
      break;
    case Behaviour::kRedirectLoop:
      steps.SendOwned(StatusLine(302) + "Location: " + std::string(request.path) + "\r\n" +
                      LengthLine(0) + "\r\n");
      break;
    case Behaviour::kLarge:
      steps.SendOwned(head_ + LengthLine(static_cast<size_t>(config_.large_bytes)) + "\r\n");
      if (request.method != "HEAD") steps.Fill(config_.large_bytes);
      break;
    case Behaviour::kHugeHeaders:
      steps.Send(huge_);
      break;
    case Behaviour::kDrip:
      steps.Drip(config_.pace);
      SendOk(request, steps);
      break;
    case Behaviour::kSlowBody: {
      steps.Send(head);
      const size_t piece = std::max<size_t>(1, (body.size() + 9) / 10);
      for (size_t at = 0; at < body.size(); at += piece) {
        steps.Wait(config_.pace);
        steps.Send(body.substr(at, piece));
      }
      break;
    }
    default:  // kOk, and what other protocols do
      SendOk(request, steps);
      break;
  }
  steps.Add(request.keep_alive ? Kind::kNext : Kind::kClose);
}

bool FarmHttpTarget::AnswerPath(const FarmRequest& request, FarmSteps& steps) const {
  const std::string_view path = request.path.substr(0, request.path.find('?'));
  const auto argument = [path](std::string_view prefix) {
    return path.starts_with(prefix) ? path.substr(prefix.size()) : std::string_view();
  };
  const auto finish = [&] {
    steps.Add(request.keep_alive ? FarmStep::Kind::kNext : FarmStep::Kind::kClose);
    return true;
  };
  if (const auto status = ParseNumber<int>(argument("/status/"));
      status && *status >= 100 && *status <= 999) {
    const std::string body = "status " + std::to_string(*status) + "\n";
    const bool bodyless = *status == 204 || *status == 304;  // RFC 9110 section 6.4.1
    const std::string answer = bodyless ? StatusLine(*status) + "\r\n"
                                        : Render(*status, "text/plain", body, request.keep_alive);
    steps.SendOwned(std::string(ForMethod(request, answer)));
    return finish();
  }
  if (const auto delay = ParseDuration(argument("/delay/")); delay && *delay <= Hours(1)) {
    steps.Wait(*delay);
    SendOk(request, steps);
    return finish();
  }
  if (const auto count = ParseNumber<int64_t>(argument("/bytes/")); count && *count >= 0) {
    steps.SendOwned(head_ + LengthLine(static_cast<size_t>(*count)) + "\r\n");
    if (request.method != "HEAD") steps.Fill(*count);
    return finish();
  }
  if (const auto hops = ParseNumber<int>(argument("/redirect/")); hops && *hops > 0) {
    const std::string to = *hops == 1 ? "/" : "/redirect/" + std::to_string(*hops - 1);
    steps.SendOwned(StatusLine(302) + "Location: " + to + "\r\n" + LengthLine(0) + "\r\n");
    return finish();
  }
  if (path == "/echo") {
    const std::string answer = Render(200, "text/plain", request.head, request.keep_alive);
    steps.SendOwned(std::string(ForMethod(request, answer)));
    return finish();
  }
  return false;
}

Behaviour FarmHttpTarget::Answer(Behaviour behaviour, const FarmRequest& request, Random& random,
                                 FarmSteps& steps) const {
  constexpr std::string_view kDo = "/do/";
  if (request.path.starts_with(kDo)) {
    const std::string_view word = request.path.substr(kDo.size());
    behaviour = FindBehaviour(word.substr(0, word.find('?'))).value_or(behaviour);
  }
  steps.Wait(config_.delay.Draw(random));
  if (behaviour == Behaviour::kOk && request.path.size() > 1 && AnswerPath(request, steps)) {
    return behaviour;
  }
  Plan(behaviour, request, random, steps);
  return behaviour;
}

}  // namespace sonde
