#include "engine/shard/network_error.h"

#include <cerrno>
#include <cstring>

namespace sonde {
namespace {

constexpr struct {
  int error;
  Outcome outcome;
} kConnectErrors[] = {
    {ECONNREFUSED, Outcome::kConnectRefused},
    {ECONNRESET, Outcome::kConnectReset},
    {ETIMEDOUT, Outcome::kConnectTimeout},
    {EHOSTUNREACH, Outcome::kConnectHostUnreachable},
    {EMSGSIZE, Outcome::kConnectTooBig},
    {EHOSTDOWN, Outcome::kConnectHostUnreachable},
    {ENETUNREACH, Outcome::kConnectNetworkUnreachable},
    {ENETDOWN, Outcome::kConnectNetworkUnreachable},
    {EACCES, Outcome::kConnectDenied},
    {EPERM, Outcome::kConnectDenied},
    {EADDRNOTAVAIL, Outcome::kProberPorts},
    {EADDRINUSE, Outcome::kProberPorts},
    {EAGAIN, Outcome::kProberPorts},
    {EMFILE, Outcome::kProberDescriptors},
    {ENFILE, Outcome::kProberDescriptors},
    {ENOSPC, Outcome::kProberDescriptors},
    {ENOMEM, Outcome::kProberMemory},
    {ENOBUFS, Outcome::kProberMemory},
    {ENODEV, Outcome::kProberConfig},
};

}  // namespace

Outcome ConnectOutcome(int error) {
  for (const auto& row : kConnectErrors) {
    if (row.error == error) return row.outcome;
  }
  return Outcome::kConnectError;
}

const char* ErrorText(int error) {
  const char* text = strerrordesc_np(error);
  return text ? text : "unknown error";
}

}  // namespace sonde
