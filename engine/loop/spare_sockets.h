// Sockets whose connection was ended with RST, each kept for the next connection to the same peer
// (ADR 051).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "engine/contract/address.h"
#include "engine/contract/instant.h"

namespace sonde {

// One thread only. Knows numbers: opening and closing descriptors is the caller's.
class SpareSockets {
 public:
  explicit SpareSockets(size_t most) : most_(most) {}

  size_t size() const { return size_; }

  // The last one kept for that address and port, the caller's from now on; -1: none.
  int Take(const Address& to);

  // False: there is no room, and `fd` stays the caller's.
  bool Keep(int fd, const Address& to, Instant now);

  // The one that rested for longest, if it was kept before that; -1: none.
  int TakeOldest(Instant before = {INT64_MAX});

 private:
  static constexpr int kNone = -1;
  struct Spare {
    Address to;
    Instant kept;
    int older = kNone, newer = kNone;  // of all
    int below = kNone, above = kNone;  // of the same address
  };
  struct Hash {
    size_t operator()(const Address& address) const;
  };
  Spare& Of(int fd) { return spares_[static_cast<size_t>(fd)]; }
  void Unlink(int fd);

  const size_t most_;
  size_t size_ = 0;
  int oldest_ = kNone, newest_ = kNone;
  std::vector<Spare> spares_;                        // by descriptor
  absl::flat_hash_map<Address, int, Hash> topmost_;  // the last one kept for an address
};

}  // namespace sonde
