// The plain page at `/`: how the fleet stands, what fails, what ran last, and the last runs of
// tasks that keep them. No script, no frame, no picture; everything a target or a user wrote is
// escaped. Bounded at any number of tasks.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "engine/contract/instant.h"
#include "exporter/catalog.h"
#include "exporter/probe_history.h"
#include "exporter/self_metrics.h"

namespace sonde {

inline constexpr size_t kLandingRows = 100;

// The page's part about tasks: failing ones first, then by the last run, newest first; kLandingRows
// of them at most, each with up to 60 last runs (about 80 bytes each; alike enough to be packed to
// a tenth). Looks at every task once (about 10 ms for 50,000): keep the answer for a second (Site
// does).
std::string RenderTasks(const SampleSnapshot& tasks, WallTime now);

// The whole page. `probes` of /probe, newest first; kProbeRows of them are shown. All links are
// relative: the page stands at the end of the route prefix.
inline constexpr size_t kProbeRows = 1000;
std::string RenderLandingPage(std::string_view tasks, const std::vector<const ProbeRecord*>& probes,
                              const BuildInfo& build);

// What the page's /style.css is. Follows the reader's dark mode.
std::string_view LandingStyle();

// Content-Security-Policy of the page: nothing but its own style sheet.
inline constexpr std::string_view kLandingPolicy =
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'";

// "2026-11-20 19:32:05Z"
std::string UtcText(WallTime time);
// "12 s ago", "3 min ago", "2 h ago", "5 d ago"; "now" below a second and for the future.
std::string AgoText(Duration age);
// "840 us", "12.3 ms", "1.25 s"
std::string LatencyText(Duration duration);
// "99.98 %"; "-" without conclusive runs. 100 % and 0 % are only said when they are true.
std::string PercentText(const Tally::Ratio& ratio);

}  // namespace sonde
