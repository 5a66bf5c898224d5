// One set of name servers, asked through c-ares. Knows no cache and no preference: one query is one
// name and one family.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/contract/address.h"
#include "engine/contract/instant.h"
#include "engine/contract/outcome.h"
#include "engine/loop/poller.h"

struct ares_addrinfo;

namespace sonde {

// What a name came to in one family. Of all addresses, in the server's order, choosing only ever
// needs the first and the last.
struct DnsAnswer {
  Outcome outcome = Outcome::kOk;
  Address first, last;
  Duration ttl{};  // smallest of the addresses and aliases; only of kOk
};

struct DnsChannelOptions {
  std::vector<Address> servers;           // empty: resolv.conf's; port 0 means 53
  std::string resolv_conf;                // a file in place of /etc/resolv.conf; for tests
  Duration timeout = Milliseconds(1500);  // of the first try; doubles each round
  int tries = 3;                          // per server
};

// One thread only.
class DnsChannel {
 public:
  class Listener {
   public:
    // Once per query, also from within Query. `query` is the caller's word.
    virtual void OnAnswer(void* query, const DnsAnswer& answer) = 0;

   protected:
    ~Listener() = default;
  };

  // Reads resolv.conf now (search list and ndots count also for servers of a module). `poller` and
  // `listener` outlive the channel.
  static absl::StatusOr<std::unique_ptr<DnsChannel>> Make(Poller& poller, Listener& listener,
                                                          const DnsChannelOptions& options);
  ~DnsChannel();  // no OnAnswer follows

  // Asks for the A or AAAA records of `name`, by the search list as the system does.
  void Query(const std::string& name, IpFamily family, void* query);

  // Lets time-outs pass. To be called every kTick while queries are outstanding: c-ares keeps time
  // in a list that is cheap to advance and costly to ask for its earliest entry.
  void Tick();
  static constexpr Duration kTick = Milliseconds(50);

  size_t outstanding() const { return outstanding_; }

 private:
  struct Part;
  struct Asked;

  DnsChannel(Poller& poller, Listener& listener);
  absl::Status Open(const DnsChannelOptions& options);
  void Ask(Part& part, std::unique_ptr<Asked> asked);
  static void OnAddresses(void* asked, int status, int timeouts, ares_addrinfo* found);

  Poller& poller_;
  Listener& listener_;
  // With several servers c-ares passes over one that answers SERVFAIL or REFUSED and in the end
  // calls all of that "connection refused"; asked again without that, it says what it was told.
  std::unique_ptr<Part> passing_over_;  // null with a single server
  std::unique_ptr<Part> telling_;
  size_t outstanding_ = 0;
  bool closing_ = false;
};

}  // namespace sonde
