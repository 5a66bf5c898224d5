// Answers of HTTP/1.1: see http_fuzz.h.
#include "tests/protocols/http_fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  sonde::fuzz::PlayInput(data, size, "");
  return 0;
}
