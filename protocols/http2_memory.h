// What libnghttp2 takes from the heap for one session: counted, and bounded, whatever a peer does.
#pragma once

#include <nghttp2/nghttp2.h>

#include <cstddef>

namespace sonde {

// Part of a codec; outlives its session.
class Http2Memory {
 public:
  // Beyond what a request's own fields take.
  static constexpr size_t kLimit = 256 * 1024;

  void Allow(size_t bytes) { limit_ = bytes; }
  // Hooks that count here. Allocations beyond the limit fail, as if the heap had no more.
  nghttp2_mem Hooks();

  size_t used() const { return used_; }
  size_t peak() const { return peak_; }

 private:
  void* Resize(void* old, size_t size);

  size_t limit_ = kLimit;
  size_t used_ = 0, peak_ = 0;
};

}  // namespace sonde
