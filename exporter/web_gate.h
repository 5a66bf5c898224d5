// What a request has to pass before anything else: a configuration that can be read, the limit on
// requests, and a password. Loop thread.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "engine/contract/instant.h"
#include "exporter/basic_auth.h"
#include "exporter/http_message.h"
#include "exporter/token_bucket.h"
#include "exporter/web_config.h"

namespace sonde {

class WebGate {
 public:
  // Everything passes until Set.
  explicit WebGate(PasswordChecker::RunInWorker run)
      : config_(std::make_shared<WebConfig>()), passwords_(std::move(run)) {}

  // In force for the next request. Null: it cannot be read, every request is answered 500.
  void Set(std::shared_ptr<const WebConfig> config);

  // An answer: the request goes no further.
  std::optional<HttpResponse> Refuses(Instant now);

  // Headers of every answer.
  std::span<const HttpHeader> headers() const;

  // kGood where nobody is asked who he is. As PasswordChecker::Ask.
  PasswordChecker::Answer LogIn(std::string_view authorization, const Address& client,
                                PasswordChecker::Done done, PasswordChecker::Ticket* ticket);

  // What a client that did not log in gets: 401, or 503 when too many try.
  static HttpResponse Refusal(PasswordChecker::Answer answer);

 private:
  std::shared_ptr<const WebConfig> config_;
  TokenBucket bucket_;
  PasswordChecker passwords_;
};

}  // namespace sonde
