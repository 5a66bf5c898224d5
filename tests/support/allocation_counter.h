// Counts what a thread takes from the heap. Linking sonde_allocation_counter replaces the global
// operator new and delete of the binary; link it only into tests and benches that ask.
#pragma once

#include <cstdint>

namespace sonde {

// Clang's ThreadSanitizer brings its own operator new and lets nobody replace it: there every count
// stays 0, and a test that expects some skips itself.
#if defined(__clang__)
#if __has_feature(thread_sanitizer)
#define SONDE_COUNTS_ALLOCATIONS 0
#endif
#endif
#ifndef SONDE_COUNTS_ALLOCATIONS
#define SONDE_COUNTS_ALLOCATIONS 1
#endif
inline constexpr bool kCountsAllocations = SONDE_COUNTS_ALLOCATIONS;

struct AllocationCount {
  uint64_t allocations = 0;  // calls of operator new, in any form
  uint64_t bytes = 0;        // asked for; frees are not subtracted

  AllocationCount operator-(const AllocationCount& other) const {
    return {allocations - other.allocations, bytes - other.bytes};
  }
};

// Of the calling thread since it began. What C code takes by malloc (OpenSSL, libuv) is not
// counted.
AllocationCount ThreadAllocations();

// Of all threads, freed again or not.
AllocationCount ProcessAllocations();

// What all threads took and did not give back, as malloc rounds it (its own headers apart).
int64_t HeldBytes();

}  // namespace sonde
