// A fleet does not fit a processor's caches: what is about to be read is fetched ahead.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sonde {

// Fetches every cache line that holds one of these bytes. Null is fine.
inline void FetchLines(const void* from, size_t bytes) {
  constexpr size_t kLine = 64;
  const auto* line = static_cast<const char*>(from) - reinterpret_cast<uintptr_t>(from) % kLine;
  const auto* end = static_cast<const char*>(from) + bytes;
  for (; line < end; line += kLine) __builtin_prefetch(line);
}

}  // namespace sonde
