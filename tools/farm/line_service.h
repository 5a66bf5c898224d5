// Plain TCP services of a simulated target, one object per connection.
#pragma once

#include <memory>
#include <string_view>

#include "tools/farm/farm_config.h"
#include "tools/farm/random_delay.h"
#include "tools/farm/step.h"

namespace sonde {

class LineService {
 public:
  // `config` outlives the connection.
  static std::unique_ptr<LineService> Make(const ListenerConfig& config);
  virtual ~LineService() = default;

  // The connection is there: a banner, or nothing.
  virtual void Open(FarmSteps& steps, Random& random) = 0;
  // Bytes of the peer, those not taken before first. Returns how many were taken.
  virtual size_t Take(std::string_view in, FarmSteps& steps, Random& random) = 0;
  // What it says before hanging up on an internal trouble.
  virtual std::string_view ErrorText() const { return "error\r\n"; }

  static constexpr size_t kLongestLine = 64 * 1024;  // longer ones end the connection
};

}  // namespace sonde
