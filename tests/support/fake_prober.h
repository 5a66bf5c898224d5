// The smallest protocols there can be, for tests of the engine: `connect` passes when the leg is
// open, `ask` sends PING and wants PONG, `tls` is `ask` inside TLS, `hop` follows "GO host:port\n",
// `deaf` goes on waiting when nothing can come; each reports its last connect. Over datagrams:
// `udp` sends its token and PING and passes with any message of its own, `echo` sends `packets`
// echoes 10 ms apart and passes when all are answered; what they saw stands in the facts of ICMP.
#pragma once

#include <memory>
#include <string>

#include "engine/contract/task.h"

namespace sonde {

struct FakeModule : Module {
  enum class Mode { kConnect, kAsk, kHop, kDeaf, kUdp, kEcho };
  Mode mode = Mode::kConnect;
  std::string request = "PING\n";
  TlsProfile tls;
  bool use_tls = false;
  int packets = 1;
  size_t payload = 16;
};

const Prober& FakeProber();

struct FakeTask {
  std::string name = "task";
  std::string target = "10.0.0.1:80";
  FakeModule::Mode mode = FakeModule::Mode::kConnect;
  Duration interval = Seconds(1);
  Duration timeout = Milliseconds(500);
  bool enabled = true;
  bool use_tls = false;
  std::string request = "PING\n";
  NetworkOptions network;
  TlsProfile tls;
  int packets = 1;
  size_t payload = 16;
  uint64_t version = 1;
  std::shared_ptr<const Task> Make() const;
};

}  // namespace sonde
