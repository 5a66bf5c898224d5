// What a line is made of, out of its command line.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "tools/farm/packet_queue.h"

namespace sonde {

struct LineOptions {
  std::string near, far;  // NAMESPACE:DEVICE
  LineConditions there, back;
  int mtu = 1500;
  uint64_t seed = 1;
  int64_t capacity = 50'000;  // packets on the way
  Duration spin = Microseconds(50);
  bool busy = false;      // never sleeps
  bool realtime = false;  // SCHED_FIFO
};

// Conditions as flags give them: one value for both directions, or two, `THERE,BACK`. `what` is
// delay ("20ms"), jitter ("uniform:0ms:5ms", "exponential:2ms", "lognormal:2ms:0.5"), loss,
// duplicate, reorder ("1%" or "0.01"), or reorder_by ("5ms").
absl::Status ReadCondition(std::string_view what, std::string_view text, LineOptions* options);

}  // namespace sonde
