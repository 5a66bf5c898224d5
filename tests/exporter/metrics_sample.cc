// Prints the sample fleet's /metrics: `metrics_sample text` or `metrics_sample openmetrics`. For
// the checks by foreign parsers.
#include <cstdio>
#include <string>
#include <string_view>

#include "tests/exporter/sample_fleet.h"

int main(int argc, char** argv) {
  const std::string_view format = argc == 2 ? argv[1] : "";
  if (format != "text" && format != "openmetrics") {
    std::fprintf(stderr, "usage: metrics_sample text|openmetrics\n");
    return 2;
  }
  const std::string page =
      sonde::RenderSample(format == "text" ? sonde::Format::kText : sonde::Format::kOpenMetrics);
  return std::fwrite(page.data(), 1, page.size(), stdout) == page.size() ? 0 : 1;
}
