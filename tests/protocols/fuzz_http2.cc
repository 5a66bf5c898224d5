// Frames of HTTP/2, whoever sends them and in whatever order: see http_fuzz.h.
#include "tests/protocols/http_fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  sonde::fuzz::PlayInput(data, size, "h2");
  return 0;
}
