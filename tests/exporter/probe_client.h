// A client of a handler without a server: keeps what it is answered, and may leave.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "exporter/http_message.h"

namespace sonde {

class ProbeClient : public HttpExchange {
 public:
  explicit ProbeClient(const std::string& query, std::vector<HttpHeader> headers = {}) {
    request_.method = "GET";
    request_.raw_path = request_.path = "/probe";
    request_.query = query;
    request_.headers = std::move(headers);
    request_.peer = *Address::ParseLiteral("192.0.2.1");
  }
  const HttpRequest& request() const override { return request_; }
  HttpRequest& mutable_request() { return request_; }
  bool connected() const override { return !left_; }
  void Send(HttpResponse response) override { answers.push_back(std::move(response)); }
  void OnDisconnect(absl::AnyInvocable<void()> callback) override {
    left_callback_ = std::move(callback);
  }
  void Leave() {
    left_ = true;
    if (left_callback_) left_callback_();
  }

  std::vector<HttpResponse> answers;

 private:
  HttpRequest request_;
  absl::AnyInvocable<void()> left_callback_;
  bool left_ = false;
};

}  // namespace sonde
