// The HTTP side of a simulated target: reads just enough of a request, and turns a behaviour into
// steps. Also understands paths that ask for a behaviour:
//   /do/BEHAVIOUR   /status/NNN   /delay/250ms   /bytes/N   /redirect/N   /echo
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "tools/farm/farm_config.h"
#include "tools/farm/random_delay.h"
#include "tools/farm/step.h"

namespace sonde {

struct FarmRequest {
  std::string_view method, path;
  std::string_view head;  // request line and headers
  bool keep_alive = true;
  size_t body_size = 0;
  size_t size = 0;  // head and body
};

inline constexpr size_t kFarmHeadLimit = 64 * 1024;
inline constexpr size_t kFarmBodyLimit = 16 * 1024 * 1024;

enum class FarmParse : uint8_t { kMore, kGood, kBad };
// RFC 9112 as far as a target needs it: Content-Length bodies only. kGood once the head is whole;
// the views point into `in`.
FarmParse ParseFarmRequest(std::string_view in, FarmRequest* request);

// One per listener, immutable: any thread.
class FarmHttpTarget {
 public:
  explicit FarmHttpTarget(const ListenerConfig& config);

  // Appends what `behaviour` does with `request`; a path that asks for one goes first. Returns the
  // behaviour shown.
  Behaviour Answer(Behaviour behaviour, const FarmRequest& request, Random& random,
                   FarmSteps& steps) const;

  // A complete answer of our own making (control pages).
  static std::string Render(int status, std::string_view content_type, std::string_view body,
                            bool keep_alive);

 private:
  void Plan(Behaviour behaviour, const FarmRequest& request, Random& random,
            FarmSteps& steps) const;
  bool AnswerPath(const FarmRequest& request, FarmSteps& steps) const;
  void SendOk(const FarmRequest& request, FarmSteps& steps) const;

  const ListenerConfig& config_;
  std::string head_;          // status line and headers of the configured answer, no length
  std::string keep_, close_;  // whole answers
  size_t keep_head_, close_head_;
  std::string error_keep_, error_close_;
  std::string redirect_;
  std::string huge_;
};

}  // namespace sonde
