// The HTTP server over loopback, client and server in one process: only ratios within one run mean
// anything on a shared machine.
//   SmallRequest       one keep-alive connection, one request at a time
//   Stream/identity    a 100 MB scrape, made slice by slice; peak_rss_growth_mb says what it held
//   Stream/gzip        the same, compressed
//   WaitBesideStream   a small request while a 100 MB gzip scrape is running: what it waits at most
#include <arpa/inet.h>
#include <benchmark/benchmark.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <future>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "exporter/http_server.h"

namespace sonde {
namespace {

constexpr size_t kScrape = 100'000'000;

std::string Page() {
  std::string page;
  for (int i = 0; page.size() < 256 * 1024; ++i) {
    page += "probe_duration_seconds{name=\"shop-health-" + std::to_string(i * 7919 % 1'000'000) +
            "\",type=\"http\",target=\"https://shop-" + std::to_string(i) +
            ".example/health\",application=\"shop\"} 0.0" + std::to_string(i * 104729 % 99991) +
            "\n";
  }
  return page;
}

// Copies lines that were made before, so that the server is measured and not the writer.
class Lines final : public BodySource {
 public:
  BodyStep Next(std::string& chunk) override {
    static const std::string page = Page();
    const size_t at = made_ % (page.size() - kBodyChunk);
    chunk.append(page, at, kBodyChunk);
    made_ += kBodyChunk;
    return made_ >= kScrape ? BodyStep::kEnd : BodyStep::kMore;
  }

 private:
  size_t made_ = 0;
};

class RunningServer {
 public:
  RunningServer() : loop_(*ExporterLoop::Create()) {
    Router router;
    (void)router.Add(
        {{"GET"},
         "/hello",
         AnswerAtOnce([](const HttpRequest&) { return HttpResponse::Text(200, "hello\n"); }),
         {}});
    (void)router.Add({{"GET"},
                      "/metrics",
                      AnswerAtOnce([](const HttpRequest&) {
                        return HttpResponse::Stream("text/plain", std::make_unique<Lines>());
                      }),
                      {}});
    server_ = std::make_unique<HttpServer>(*loop_, std::move(router), HttpServerOptions());
    if (!server_->Start({"127.0.0.1:0"}).ok()) std::abort();
    port_ = server_->bound()[0].port;
    thread_ = std::thread([this] { loop_->Run(); });
  }
  ~RunningServer() {
    loop_->Stop();
    thread_.join();
  }
  uint16_t port() const { return port_; }

 private:
  std::unique_ptr<ExporterLoop> loop_;
  std::unique_ptr<HttpServer> server_;
  std::thread thread_;
  uint16_t port_ = 0;
};

class Client {
 public:
  explicit Client(uint16_t port) : fd_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in name{};
    name.sin_family = AF_INET;
    name.sin_port = htons(port);
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(fd_, reinterpret_cast<sockaddr*>(&name), sizeof name) != 0) std::abort();
    const int on = 1;
    setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  ~Client() { close(fd_); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  void Send(std::string_view bytes) {
    if (send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(bytes.size())) {
      std::abort();
    }
  }
  // Reads to the end of the connection; the number of bytes.
  size_t Drain() {
    size_t total = 0;
    for (ssize_t got; (got = recv(fd_, buffer_.data(), buffer_.size(), 0)) > 0;) {
      total += static_cast<size_t>(got);
    }
    return total;
  }
  // Asks on a connection that is kept; small answers come in one piece.
  void Ask() {
    Send("GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n");
    if (recv(fd_, buffer_.data(), buffer_.size(), 0) <= 0) std::abort();
  }

 private:
  int fd_;
  std::vector<char> buffer_ = std::vector<char>(256 * 1024);
};

double PeakRssMb() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

std::string ScrapeRequest(bool gzip) {
  return std::string("GET /metrics HTTP/1.0\r\n") + (gzip ? "Accept-Encoding: gzip\r\n" : "") +
         "\r\n";
}

void SmallRequest(benchmark::State& state) {
  const RunningServer server;
  Client client(server.port());
  for (auto _ : state) client.Ask();
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(SmallRequest)->UseRealTime();

void Stream(benchmark::State& state, bool gzip) {
  const RunningServer server;
  const double before = PeakRssMb();
  size_t sent = 0;
  for (auto _ : state) {
    Client client(server.port());
    client.Send(ScrapeRequest(gzip));
    sent = client.Drain();
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(kScrape));
  state.counters["sent_mb"] = static_cast<double>(sent) / 1e6;
  state.counters["peak_rss_growth_mb"] = PeakRssMb() - before;
}
BENCHMARK_CAPTURE(Stream, identity, false)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(Stream, gzip, true)->UseRealTime()->Unit(benchmark::kMillisecond);

void WaitBesideStream(benchmark::State& state) {
  const RunningServer server;
  std::atomic<bool> stop{false};
  std::thread scraper([&] {
    while (!stop) {
      Client client(server.port());
      client.Send(ScrapeRequest(true));
      client.Drain();
    }
  });
  Client client(server.port());
  std::vector<double> waits;
  for (auto _ : state) {
    const Instant begin = ExporterLoop::MonotonicNow();
    client.Ask();
    waits.push_back((ExporterLoop::MonotonicNow() - begin).seconds() * 1e6);
  }
  stop = true;
  scraper.join();
  std::sort(waits.begin(), waits.end());
  state.counters["p50_us"] = waits[waits.size() / 2];
  state.counters["p99_us"] = waits[waits.size() * 99 / 100];
  state.counters["max_us"] = waits.back();
}
BENCHMARK(WaitBesideStream)->UseRealTime();

}  // namespace
}  // namespace sonde

BENCHMARK_MAIN();
