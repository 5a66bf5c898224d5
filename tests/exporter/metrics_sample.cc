// Prints the sample fleet's /metrics: `metrics_sample text`, `openmetrics` or `protobuf`. For the
// checks by foreign parsers.
#include <array>
#include <cstdio>
#include <string>
#include <string_view>

#include "tests/exporter/sample_fleet.h"

int main(int argc, char** argv) {
  constexpr std::array<std::string_view, 3> kFormats = {"text", "openmetrics", "protobuf"};
  for (size_t i = 0; argc == 2 && i < kFormats.size(); ++i) {
    if (argv[1] != kFormats[i]) continue;
    const std::string page = sonde::RenderSample(static_cast<sonde::Format>(i));
    return std::fwrite(page.data(), 1, page.size(), stdout) == page.size() ? 0 : 1;
  }
  std::fprintf(stderr, "usage: metrics_sample text|openmetrics|protobuf\n");
  return 2;
}
