#include "tools/farm/farm.h"

#include <openssl/err.h>
#include <sys/resource.h>

#include <ctime>
#include <functional>

#include "tools/farm/farm_listener.h"
#include "tools/farm/farm_worker.h"

namespace sonde {
namespace {

constexpr const char* kKindNames[] = {"http",      "https",   "tcp", "refused",
                                      "blackhole", "control", "dns", "dot"};

// As many connections as the system lets us have.
void RaiseDescriptorLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

std::string PortsText(const std::vector<uint16_t>& ports) {
  if (ports.empty()) return "-";
  std::string text = std::to_string(ports.front());
  if (ports.size() > 1) text += "-" + std::to_string(ports.back());
  return text;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Farm>> Farm::Start(FarmConfig config) {
  RaiseDescriptorLimit();
  std::unique_ptr<Farm> farm(new Farm);
  farm->config_ = std::move(config);
  auto certificates = FarmCertificates::Make(std::time(nullptr), farm->config_.certificates);
  if (!certificates.ok()) return certificates.status();
  farm->certificates_ = std::move(*certificates);
  for (const ListenerConfig& listener : farm->config_.listeners) {
    auto opened = std::make_unique<FarmListener>(listener);
    opened->tls =
        farm->certificates_.Context(listener.certificate, listener.tls_max, listener.tickets);
    if (!opened->tls) {
      return absl::InvalidArgumentError("no certificate is called '" + listener.certificate + "'");
    }
    const absl::Status status = opened->Open(farm->config_.threads);
    if (!status.ok()) return status;
    farm->listeners_.push_back(std::move(opened));
  }
  for (int i = 0; i < farm->config_.threads; ++i) {
    farm->workers_.push_back(
        std::make_unique<FarmWorker>(*farm, i, farm->config_, farm->listeners_));
    if (!farm->workers_.back()->ok()) return absl::UnavailableError("no descriptor for a loop");
  }
  for (const auto& worker : farm->workers_) {
    farm->threads_.emplace_back([running = worker.get()] { running->Run(); });
  }
  return farm;
}

Farm::~Farm() {
  for (const auto& worker : workers_) worker->Stop();
  for (std::thread& thread : threads_) thread.join();
  workers_.clear();
  listeners_.clear();
}

const std::vector<uint16_t>& Farm::Ports(size_t listener) const {
  return listeners_[listener]->ports;
}

std::string Farm::DescribeListeners() const {
  std::string text;
  for (const auto& listener : listeners_) {
    const ListenerConfig& config = listener->config;
    text += std::string(kKindNames[static_cast<size_t>(config.kind)]) + " " +
            (config.address == "loopback" ? "127.0.0.0/8" : config.address) + " " +
            PortsText(listener->ports);
    if (config.has_tls()) text += " " + config.certificate;
    text += "\n";
  }
  return text;
}

bool Farm::Override(uint16_t port, std::optional<Behaviour> behaviour) {
  bool found = false;
  for (const auto& listener : listeners_) {
    for (const uint16_t its_port : listener->ports) {
      if (its_port != port) continue;
      listener->override_behaviour =
          behaviour ? static_cast<int>(*behaviour) : FarmListener::kNoOverride;
      found = true;
    }
  }
  return found;
}

std::string Farm::StatsJson() const {
  const auto sum = [this](const std::function<uint64_t(const FarmCounters&)>& of) {
    uint64_t total = 0;
    for (const auto& worker : workers_) total += of(worker->counters());
    return total;
  };
  std::string json = "{";
  const auto field = [&json](std::string_view name, uint64_t value) {
    if (json.back() != '{') json += ",";
    json += "\"" + std::string(name) + "\":" + std::to_string(value);
  };
  const std::pair<const char*, std::atomic<uint64_t> FarmCounters::*> kFields[] = {
      {"accepted", &FarmCounters::accepted},       {"closed", &FarmCounters::closed},
      {"answers", &FarmCounters::answers},         {"bytes_in", &FarmCounters::bytes_in},
      {"bytes_out", &FarmCounters::bytes_out},     {"bad_requests", &FarmCounters::bad_requests},
      {"idle_closed", &FarmCounters::idle_closed}, {"accept_errors", &FarmCounters::accept_errors},
      {"foreign", &FarmCounters::foreign},         {"dropped", &FarmCounters::dropped}};
  for (const auto& [name, member] : kFields) {
    field(name, sum([at = member](const FarmCounters& c) {
            return (c.*at).load(std::memory_order_relaxed);
          }));
  }
  json += ",\"shown\":{";
  for (size_t i = 0; i < kBehaviourCount; ++i) {
    field(BehaviourName(static_cast<Behaviour>(i)),
          sum([i](const FarmCounters& c) { return c.shown[i].load(std::memory_order_relaxed); }));
  }
  return json + "}}\n";
}

}  // namespace sonde
