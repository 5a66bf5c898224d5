// What turns a network: the part of it that ShardThread sees and the shard does not.
#pragma once

#include <cstddef>

#include "engine/shard/network.h"

namespace sonde {

class DatagramSockets;

// The shard's thread only.
class LoopNetwork : public Network {
 public:
  // One batch of events. True: there may be more at once, call again before sleeping.
  virtual bool DispatchEvents(NetworkEvents& events) = 0;

  // The last thing of a turn: what waits for company leaves now.
  virtual void Submit() = 0;

  // Whether the caller comes back so soon that answers over shared sockets need not wake it: they
  // carry the kernel's stamps.
  virtual void ComesBackSoon(bool soon) = 0;

  // Something is to be told without waiting for the kernel.
  virtual bool pending() const = 0;

  virtual size_t open() const = 0;    // streams
  virtual size_t spares() const = 0;  // sockets that wait for a stream
  virtual DatagramSockets& datagrams() = 0;
};

}  // namespace sonde
