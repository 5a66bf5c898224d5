// Which hosts are reached without their proxy: NO_PROXY lists, as golang.org/x/net/http/httpproxy
// reads them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/contract/address.h"

namespace sonde {

// Immutable after parsing; any thread.
class NoProxy {
 public:
  // Entries apart by commas, in any case, each with an optional ":port":
  //   192.0.2.7   [2001:db8::1]:443   10.0.0.0/8    addresses, networks (without a port)
  //   shop.example                                  the name and every name below it
  //   .shop.example   *.shop.example                the names below it only
  //   *                                             everything
  // An entry that is none of these matches nothing.
  static NoProxy Parse(std::string_view list);

  // Whether `host` (a name or a literal address, lower case) is reached without a proxy; `address`
  // is what it resolved to, null: unknown. "localhost" and loopback addresses always are.
  bool Matches(std::string_view host, uint16_t port, const Address* address) const;

 private:
  struct Network {
    Address address;
    unsigned bits = 0;
    uint16_t port = 0;  // 0: any
  };
  struct Domain {
    std::string suffix;  // ".shop.example"
    uint16_t port = 0;
    bool itself = false;  // "shop.example" too
  };
  void Add(std::string_view entry);
  bool MatchesAddress(const Address& address, uint16_t port) const;
  bool MatchesName(std::string_view name, uint16_t port) const;

  bool everything_ = false;
  std::vector<Network> networks_;
  std::vector<Domain> domains_;
};

}  // namespace sonde
