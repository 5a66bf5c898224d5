// Scenario files that read as plays: tests/plays/*.play. A play is a configuration, a simulated
// network, what happens at which time (0 is the first task's due time), and what must come of it.
//
//   config:                                  # a sonde.yml, indented
//     tasks: [{name: shop, type: http, target: "http://10.0.0.1/", timeout: 2s}]
//   name shop.test is 10.0.0.1 after 2ms     # or: fails dns/not_found; is silent
//   peer 10.0.0.1:80 accepts after 1ms       # or: refuses after 1ms; is silent; fails EHOSTUNREACH
//   peer 10.0.0.1:443 speaks tls good        # good, expired, self_signed, wrong_name, ...
//   peer 10.0.0.1:443 speaks tls good as h2  # and chooses h2 by ALPN
//   prober lacks ports                       # or: descriptors; memory. The next connect
//   peers take 10 bytes                      # of what is sent, and no more
//   at 1ms expect sent "GET / HTTP/1.1"      # the text was sent on the newest connection
//   at 2ms peer sends "HTTP/1.1 200 OK\r\n"  # [each byte every 1ms]
//   at 9ms peer closes                       # or: resets
//   at 9ms stand still for 5s                # the process gets no time
//   expect outcome ok                        # of the first run; the rest too
//   expect run 2                             # what follows is about the second run
//   expect accepted 1                        # connections, by all peers, in the end
//   expect idle 1                            # connections between two runs of their task, in the
//   end expect retried 1                         # runs whose kept connection had ended, in the end
//   expect duration 9ms
//   expect fact probe_http_status_code 200
//   expect fact probe_http_duration_seconds{phase="tls"} absent
//   expect text probe_tls_version_info version "TLS 1.3"
//   expect detail "status"                   # the evidence's detail contains it
//   expect latency recorded | unrecorded
//   expect body "..."                        # evidence
//
// Quoted texts know \r \n \t \0 \\ \" \xHH. CA of the test certificates: ca.pem.
#pragma once

#include <string>

#include "engine/contract/outcome.h"

namespace sonde {

// Plays one file. Empty: everything came as written; otherwise what did not, with line numbers.
// `outcome` (may be null) is that of the first run.
std::string PlayFile(const std::string& path, Outcome* outcome = nullptr);

}  // namespace sonde
