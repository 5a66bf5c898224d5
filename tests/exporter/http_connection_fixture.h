// A connection over a client in memory, with a few routes: for tests of what connections do.
#pragma once

#include <gtest/gtest.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "exporter/http_connection.h"

namespace sonde {

// A client's end in memory. `Deliver` is the kernel taking what was written.
class FakeTransport final : public HttpTransport {
 public:
  void Write(std::string bytes) override {
    queue += bytes;
    waiting = true;
    max_queue = std::max(max_queue, queue.size());
  }
  size_t pending() const override { return queue.size(); }
  void SetReading(bool on) override { reading = on; }
  void ShutdownWrite() override { shut = true; }
  void Close() override { closing = true; }
  void Reset() override { closing = reset = true; }

  std::string queue;
  std::string seen;  // what the client has
  size_t max_queue = 0;
  bool waiting = false;  // an OnDrained is due
  bool reading = true;
  bool shut = false;
  bool closing = false;
  bool reset = false;
};

// Hands out `total` bytes of lines, or follows a script.
class Lines final : public BodySource {
 public:
  Lines(size_t total, size_t* made) : total_(total), made_(made) {}
  BodyStep Next(std::string& chunk) override {
    const size_t before = chunk.size();
    while (chunk.size() - before < kBodyChunk && *made_ < total_) {
      const size_t take = std::min<size_t>(kLine.size(), total_ - *made_);
      chunk.append(kLine, 0, take);
      *made_ += take;
    }
    return *made_ == total_ ? BodyStep::kEnd : BodyStep::kMore;
  }

 private:
  static constexpr std::string_view kLine = "probe_success{name=\"a task of the fleet\"} 1\n";
  const size_t total_;
  size_t* made_;
};

class Script final : public BodySource {
 public:
  struct Shared {
    std::vector<std::pair<BodyStep, std::string>> steps;
    Script* source = nullptr;
    bool destroyed = false;
  };
  explicit Script(Shared* shared) : shared_(shared) { shared->source = this; }
  ~Script() override {
    shared_->destroyed = true;
    shared_->source = nullptr;
  }
  BodyStep Next(std::string& chunk) override {
    if (shared_->steps.empty()) return BodyStep::kLater;
    const auto [step, text] = shared_->steps.front();
    shared_->steps.erase(shared_->steps.begin());
    chunk += text;
    return step;
  }
  using BodySource::Wake;

 private:
  Shared* shared_;
};

class HttpConnectionTest : public testing::Test {
 protected:
  HttpConnectionTest()
      : hosts_({"listed.example"}),
        metrics_(&registry_),
        gate_([this](absl::AnyInvocable<void()> work, absl::AnyInvocable<void()> done) {
          jobs_.push_back({std::move(work), std::move(done)});
          return true;
        }),
        service_{options_, router_, hosts_, metrics_, gate_} {
    options_.now = [this] { return now_; };
    Add({"GET"}, "/hello", AnswerAtOnce([](const HttpRequest& request) {
          return HttpResponse::Text(200, "hello " + request.QueryParam("n").value_or("") + "\n");
        }));
    Add({"POST"}, "/echo", AnswerAtOnce([](const HttpRequest& request) {
          return HttpResponse::Text(200, request.body);
        }),
        {100});
    Add({}, "/big", AnswerAtOnce([this](const HttpRequest&) {
          return HttpResponse::Text(200, std::string(big_, 'b'));
        }));
    Add({}, "/stream", AnswerAtOnce([this](const HttpRequest&) {
          return HttpResponse::Stream("text/plain", std::make_unique<Lines>(total_, &made_));
        }));
    Add({}, "/script", AnswerAtOnce([this](const HttpRequest&) {
          HttpResponse response =
              HttpResponse::Stream("text/event-stream", std::make_unique<Script>(&script_));
          response.compressible = false;
          return response;
        }));
    Add({}, "/later", [this](const HttpRequest&, ResponseHandle handle) {
      handle.OnDisconnect([this] { ++disconnects_; });
      held_.push_back(std::move(handle));
    });
    Add({}, "/dropped", [](const HttpRequest&, ResponseHandle) {});
    Open();
  }
  ~HttpConnectionTest() override {
    connection_.reset();
    held_.clear();
  }

  void Add(std::vector<std::string> methods, std::string pattern, HttpHandler handler,
           RouteLimits limits = {}) {
    Route route{std::move(methods), std::move(pattern), std::move(handler), limits};
    ASSERT_TRUE(router_.Add(std::move(route)).ok());
  }
  void Open() {
    connection_.reset();
    transport_ = std::make_unique<FakeTransport>();
    connection_ = std::make_unique<HttpConnection>(service_, *transport_, Address());
  }
  // The kernel takes up to `bytes` and the loop turns.
  void Deliver(size_t bytes) {
    FakeTransport& t = *transport_;
    const size_t take = std::min(bytes, t.queue.size());
    t.seen += t.queue.substr(0, take);
    t.queue.erase(0, take);
    if (t.queue.empty() && std::exchange(t.waiting, false)) connection_->OnDrained();
  }
  void DeliverAll() {
    for (int turn = 0; turn < 100'000 && transport_->waiting && !transport_->closing; ++turn) {
      Deliver(std::string::npos);
    }
    EXPECT_TRUE(transport_->closing || !transport_->waiting);
  }
  void Send(std::string_view bytes) { connection_->OnBytes(bytes); }
  // One request on a connection of its own, or on the open one; everything the client sees.
  std::string Ask(std::string_view bytes) {
    transport_->seen.clear();
    Send(bytes);
    DeliverAll();
    return transport_->seen;
  }
  std::string AskAnew(std::string_view bytes) {
    Open();
    return Ask(bytes);
  }
  static std::string BodyOf(const std::string& answer) {
    const size_t end = answer.find("\r\n\r\n");
    return end == std::string::npos ? "" : answer.substr(end + 4);
  }
  std::string Metrics() { return prometheus::TextSerializer().Serialize(registry_.Collect()); }

  Instant now_{1'000'000'000'000};
  HttpServerOptions options_;
  prometheus::Registry registry_;
  Router router_;
  HostRule hosts_;
  HttpMetrics metrics_;
  std::deque<std::pair<absl::AnyInvocable<void()>, absl::AnyInvocable<void()>>> jobs_;  // workers'
  WebGate gate_;
  HttpService service_;
  std::unique_ptr<FakeTransport> transport_;
  std::unique_ptr<HttpConnection> connection_;
  std::vector<ResponseHandle> held_;
  int disconnects_ = 0;
  size_t big_ = 0;
  size_t total_ = 0;
  size_t made_ = 0;
  Script::Shared script_;
};

}  // namespace sonde
