#include "exporter/web_gate.h"

namespace sonde {

void WebGate::Set(std::shared_ptr<const WebConfig> config) {
  if (config && config_ && (config->rate != config_->rate || config->burst != config_->burst)) {
    bucket_ = TokenBucket();
  }
  config_ = std::move(config);
}

std::optional<HttpResponse> WebGate::Refuses(Instant now) {
  if (config_ == nullptr) return HttpResponse::Text(500, "Internal Server Error\n");
  if (config_->rate > 0 && !bucket_.Take(config_->rate, config_->burst, now)) {
    return HttpResponse::Text(429, "Too Many Requests\n");
  }
  return std::nullopt;
}

std::span<const HttpHeader> WebGate::headers() const {
  if (config_ == nullptr) return {};
  return config_->headers;
}

PasswordChecker::Answer WebGate::LogIn(std::string_view authorization, const Address& client,
                                       PasswordChecker::Done done,
                                       PasswordChecker::Ticket* ticket) {
  if (config_ == nullptr) return PasswordChecker::Answer::kBad;
  if (config_->users.empty()) return PasswordChecker::Answer::kGood;
  const std::optional<Credentials> credentials = ParseBasicAuth(authorization);
  if (!credentials) return PasswordChecker::Answer::kBad;
  return passwords_.Ask(config_->users, *credentials, client, std::move(done), ticket);
}

HttpResponse WebGate::Refusal(PasswordChecker::Answer answer) {
  if (answer == PasswordChecker::Answer::kBusy) {
    HttpResponse busy = HttpResponse::Text(503, "too many passwords to check at once\n");
    busy.headers.push_back({"Retry-After", "1"});
    return busy;
  }
  HttpResponse response = HttpResponse::Text(401, "Unauthorized\n");
  response.headers.push_back({"WWW-Authenticate", "Basic"});
  return response;
}

}  // namespace sonde
